//! Chat completions of each compatible provider. `docs/providers.md` names the sources.

use serde_json::json;

use super::{Form, reasoning, text, usage};
use crate::entity::enums::{FinishReason, ReplyErrorCode};
use crate::llm::tests::tool_call;

pub(super) fn forms() -> Vec<Form> {
    let hosted = [openai(), azure(), groq(), mistral(), xai(), deepseek(), gemini(), openrouter(), openrouter_error()];
    let local = [perplexity(), gpustack(), ollama(), vllm(), vllm_error(), lm_studio(), llama_cpp()];
    hosted.into_iter().chain(local).collect()
}

fn openai() -> Form {
    Form::completion("OpenAI", Ok(FinishReason::Length))
        .data(r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-6-luna","service_tier":"default","system_fingerprint":"fp_1","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"kU7"}"#, [])
        .data(r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-6-luna","choices":[{"index":0,"delta":{"content":"One, "},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"a"}"#, [text("One, ")])
        .data(r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-6-luna","choices":[{"index":0,"delta":{"content":"two"},"logprobs":null,"finish_reason":null}],"usage":null}"#, [text("two")])
        .last(r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-6-luna","choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"length"}],"usage":null}"#, [])
        .data(r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-6-luna","choices":[],"usage":{"prompt_tokens":1040,"completion_tokens":70,"total_tokens":1110,"prompt_tokens_details":{"cached_tokens":1024,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":64,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}}"#, [usage(1040, 70, 1024)])
        .done()
}

/// Results of the content filter are in an event without choices, and then in each choice.
fn azure() -> Form {
    Form::completion("Azure", Ok(FinishReason::ContentFilter))
        .data(r#"{"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{"prompt_index":0,"content_filter_results":{"hate":{"filtered":false,"severity":"safe"}}}]}"#, [])
        .data(r#"{"choices":[{"content_filter_results":{},"delta":{"content":"","refusal":null,"role":"assistant"},"finish_reason":null,"index":0,"logprobs":null}],"id":"chatcmpl-2","object":"chat.completion.chunk"}"#, [])
        .data(r#"{"choices":[{"content_filter_results":{"hate":{"filtered":false,"severity":"safe"}},"delta":{"content":"It is"},"finish_reason":null,"index":0,"logprobs":null}],"id":"chatcmpl-2","object":"chat.completion.chunk"}"#, [text("It is")])
        .data(r#"{"choices":[{"content_filter_offsets":{"check_offset":44,"start_offset":44,"end_offset":60},"content_filter_results":{"hate":{"filtered":false,"severity":"safe"}},"finish_reason":null,"index":0}],"id":"","object":""}"#, [])
        .last(r#"{"choices":[{"content_filter_results":{"hate":{"filtered":true,"severity":"high"}},"delta":{},"finish_reason":"content_filter","index":0}],"id":"chatcmpl-2","object":"chat.completion.chunk"}"#, [])
        .data(r#"{"choices":[],"id":"chatcmpl-2","object":"chat.completion.chunk","usage":{"completion_tokens":3,"prompt_tokens":20,"total_tokens":23}}"#, [usage(20, 3, 0)])
        .done()
}

/// Usage is in a separate field, and is sent twice if requested.
fn groq() -> Form {
    Form::completion("Groq", Ok(FinishReason::Stop))
        .data(r#"{"id":"chatcmpl-3","object":"chat.completion.chunk","model":"openai/gpt-oss-20b","choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}],"x_groq":{"id":"req_1"}}"#, [])
        .data(r#"{"id":"chatcmpl-3","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"reasoning":"Easy."},"logprobs":null,"finish_reason":null}]}"#, [reasoning("Easy.")])
        .data(r#"{"id":"chatcmpl-3","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"4"},"logprobs":null,"finish_reason":null}]}"#, [text("4")])
        .last(r#"{"id":"chatcmpl-3","object":"chat.completion.chunk","choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}],"x_groq":{"id":"req_1","usage":{"queue_time":0.03,"prompt_tokens":80,"prompt_time":0.004,"completion_tokens":12,"completion_time":0.02,"total_tokens":92,"total_time":0.024}}}"#, [usage(80, 12, 0)])
        .data(r#"{"id":"chatcmpl-3","object":"chat.completion.chunk","choices":[],"usage":{"prompt_tokens":80,"completion_tokens":12,"total_tokens":92}}"#, [usage(80, 12, 0)])
        .done()
}

/// The content of a reasoning model is first a list of parts, then a string.
fn mistral() -> Form {
    Form::completion("Mistral", Ok(FinishReason::Stop))
        .data(r#"{"id":"7b","object":"chat.completion.chunk","model":"mistral-small-latest","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"p":"abc"}"#, [])
        .data(r#"{"id":"7b","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"Twelve "}]}]},"finish_reason":null}]}"#, [reasoning("Twelve ")])
        .data(r#"{"id":"7b","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"times twelve."}],"closed":true},{"type":"text","text":"1"}]},"finish_reason":null}]}"#, [reasoning("times twelve."), text("1")])
        .data(r#"{"id":"7b","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":[{"type":"text","text":"4"},{"type":"reference","reference_ids":[1]}]},"finish_reason":null}]}"#, [text("4")])
        .last(r#"{"id":"7b","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"4"},"finish_reason":"stop"}],"usage":{"prompt_tokens":31,"total_tokens":97,"completion_tokens":66,"prompt_tokens_details":{"cached_tokens":16}}}"#, [text("4"), usage(31, 66, 16)])
        .done()
}

/// `completion_tokens` does not include reasoning, and more tokens can be cached than were read.
fn xai() -> Form {
    Form::completion("xAI", Ok(FinishReason::Stop))
        .data(r#"{"id":"a4","object":"chat.completion.chunk","model":"grok-4","choices":[{"index":0,"delta":{"reasoning_content":"Hm.","role":"assistant"}}],"system_fingerprint":"fp_1"}"#, [reasoning("Hm.")])
        .data(r#"{"id":"a4","object":"chat.completion.chunk","model":"grok-4","choices":[{"index":0,"delta":{"content":"Four."}}]}"#, [text("Four.")])
        .last(r#"{"id":"a4","object":"chat.completion.chunk","model":"grok-4","choices":[{"index":0,"delta":{"content":""},"finish_reason":"stop"}]}"#, [])
        .data(r#"{"id":"a4","object":"chat.completion.chunk","model":"grok-4","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":8,"total_tokens":115,"prompt_tokens_details":{"text_tokens":7,"audio_tokens":0,"image_tokens":0,"cached_tokens":161},"completion_tokens_details":{"reasoning_tokens":100},"num_sources_used":0}}"#, [usage(7, 108, 7)])
        .done()
}

fn deepseek() -> Form {
    Form::completion("DeepSeek", Ok(FinishReason::Stop))
        .comment("keep-alive")
        .data(r#"{"id":"c3","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":null,"reasoning_content":""},"logprobs":null,"finish_reason":null}],"usage":null}"#, [])
        .data(r#"{"id":"c3","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":null,"reasoning_content":"We add."},"logprobs":null,"finish_reason":null}],"usage":null}"#, [reasoning("We add.")])
        .data(r#"{"id":"c3","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"5","reasoning_content":null},"logprobs":null,"finish_reason":null}],"usage":null}"#, [text("5")])
        .last(r#"{"id":"c3","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"","reasoning_content":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":451,"completion_tokens":21,"total_tokens":472,"completion_tokens_details":{"reasoning_tokens":9},"prompt_cache_hit_tokens":384,"prompt_cache_miss_tokens":67}}"#, [usage(451, 21, 384)])
        .done()
}

/// Calls have no index, arguments are sent in parts, the finish reason is `stop`. Only the total includes reasoning.
fn gemini() -> Form {
    Form::completion("Gemini", Ok(FinishReason::Stop))
        .data(r#"{"choices":[{"delta":{"role":"assistant","tool_calls":[{"extra_content":{"google":{"thought_signature":"CtQ"}},"function":{"arguments":"{\"city\":","name":"weather"},"id":"function-call-1","type":"function"}]},"index":0}],"created":1,"id":"g5","model":"gemini-3-flash","object":"chat.completion.chunk"}"#, [])
        .data(r#"{"choices":[{"delta":{"role":"assistant","tool_calls":[{"function":{"arguments":"\"Bern\"}"},"type":"function"}]},"index":0}],"id":"g5","object":"chat.completion.chunk"}"#, [])
        .data(r#"{"choices":[{"delta":{"role":"assistant","tool_calls":[{"function":{"arguments":"{\"city\":\"Ulm\"}","name":"weather"},"id":"function-call-2","type":"function"}]},"index":0}],"id":"g5","object":"chat.completion.chunk"}"#, [])
        .last(r#"{"choices":[{"delta":{"role":"assistant","extra_content":{"google":{"thought_signature":"Fx"}}},"finish_reason":"stop","index":0}],"id":"g5","object":"chat.completion.chunk","usage":{"completion_tokens":30,"prompt_tokens":60,"total_tokens":210}}"#, [
            tool_call("function-call-1", "weather", json!({ "city": "Bern" })),
            tool_call("function-call-2", "weather", json!({ "city": "Ulm" })),
            usage(60, 150, 0),
        ])
        .done()
}

/// Comments until the upstream provider starts, reasoning in two fields, and the finish reason twice.
fn openrouter() -> Form {
    Form::completion("OpenRouter", Ok(FinishReason::Stop))
        .comment("OPENROUTER PROCESSING")
        .comment("OPENROUTER PROCESSING")
        .data(r#"{"id":"gen-1","provider":"Amazon Bedrock","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"","role":"assistant","reasoning":"Clever","reasoning_details":[{"type":"reasoning.text","text":"Clever","format":"anthropic-claude-v1","index":0}]},"finish_reason":null,"native_finish_reason":null}]}"#, [reasoning("Clever")])
        .data(r#"{"id":"gen-1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"1\n2","role":"assistant"},"finish_reason":null,"native_finish_reason":null}]}"#, [text("1\n2")])
        .last(r#"{"id":"gen-1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"","role":"assistant","reasoning":null},"finish_reason":"stop","native_finish_reason":"end_turn"}]}"#, [])
        .data(r#"{"id":"gen-1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"","role":"assistant"},"finish_reason":"stop","native_finish_reason":"end_turn"}],"usage":{"prompt_tokens":80,"completion_tokens":28,"total_tokens":108,"cost":0.0057,"is_byok":false,"prompt_tokens_details":{"cached_tokens":0}}}"#, [usage(80, 28, 0)])
        .done()
}

fn openrouter_error() -> Form {
    Form::completion("OpenRouter, with an error", Err(ReplyErrorCode::ProviderRateLimited))
        .data(r#"{"id":"gen-2","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"1"},"finish_reason":null}]}"#, [text("1")])
        .data(r#"{"id":"gen-2","object":"chat.completion.chunk","error":{"code":429,"message":"Provider returned error"},"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}"#, [])
}

/// Each chunk repeats the reply so far with its usage, and there is no [DONE].
fn perplexity() -> Form {
    Form::completion("Perplexity", Ok(FinishReason::Stop))
        .comment("ping - 2026-06-08 18:49:47.737080")
        .data(r#"{"id":"ac","model":"sonar","usage":{"prompt_tokens":8,"completion_tokens":1,"total_tokens":9,"search_context_size":"low","cost":{"total_cost":0}},"citations":["https://example.org/"],"object":"chat.completion.chunk","choices":[{"index":0,"message":{"role":"assistant","content":"1"},"delta":{"role":"assistant","content":"1"}}]}"#, [text("1"), usage(8, 1, 0)])
        .data(r#"{"id":"ac","model":"sonar","usage":{"prompt_tokens":8,"completion_tokens":2,"total_tokens":10},"object":"chat.completion.chunk","choices":[{"index":0,"message":{"role":"assistant","content":"1 2"},"delta":{"role":"assistant","content":" 2"}}]}"#, [text(" 2"), usage(8, 2, 0)])
        .last(r#"{"id":"ac","model":"sonar","usage":{"prompt_tokens":8,"completion_tokens":2,"total_tokens":10,"cost":{"request_cost":0.005,"total_cost":0.00501}},"object":"chat.completion.done","choices":[{"index":0,"message":{"role":"assistant","content":"1 2"},"delta":{"role":"assistant","content":""},"finish_reason":"stop"}]}"#, [usage(8, 2, 0)])
}

fn gpustack() -> Form {
    Form::completion("GPUStack", Ok(FinishReason::Stop))
        .data(r#"{"choices":[{"delta":{"reasoning_content":""},"finish_reason":null,"index":0}],"id":"chatcmpl-b","object":"chat.completion.chunk","usage":null}"#, [])
        .data(r#"{"choices":[{"delta":{"reasoning_content":"Okay"},"finish_reason":null,"index":0}],"id":"chatcmpl-b","object":"chat.completion.chunk","usage":null}"#, [reasoning("Okay")])
        .data(r#"{"choices":[{"delta":{"content":"3."},"finish_reason":null,"index":0}],"id":"chatcmpl-b","object":"chat.completion.chunk","usage":null}"#, [text("3.")])
        .last(r#"{"choices":[{"delta":{"content":""},"finish_reason":"stop","index":0}],"id":"chatcmpl-b","object":"chat.completion.chunk","usage":{"completion_tokens":171,"completion_tokens_details":{"reasoning_tokens":160},"draft_tokens":0,"prompt_tokens":15,"prompt_tokens_details":{"cached_tokens":0},"tokens_per_second":59.17892870219572,"total_tokens":186}}"#, [usage(15, 171, 0)])
}

/// Every call has the index 0.
fn ollama() -> Form {
    Form::completion("Ollama", Ok(FinishReason::ToolCalls))
        .data(r#"{"id":"chatcmpl-732","object":"chat.completion.chunk","model":"qwen3","system_fingerprint":"fp_ollama","choices":[{"index":0,"delta":{"role":"assistant","content":"","reasoning":"Two files."},"finish_reason":null}]}"#, [reasoning("Two files.")])
        .data(r#"{"id":"chatcmpl-732","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":"","tool_calls":[{"id":"call_a","index":0,"type":"function","function":{"name":"write","arguments":"{\"path\":\"a\"}"}}]},"finish_reason":null}]}"#, [])
        .data(r#"{"id":"chatcmpl-732","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":"","tool_calls":[{"id":"call_b","index":0,"type":"function","function":{"name":"write","arguments":"{\"path\":\"b\"}"}}]},"finish_reason":null}]}"#, [])
        .last(r#"{"id":"chatcmpl-732","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":"tool_calls"}]}"#, [
            tool_call("call_a", "write", json!({ "path": "a" })),
            tool_call("call_b", "write", json!({ "path": "b" })),
        ])
        .data(r#"{"id":"chatcmpl-732","object":"chat.completion.chunk","choices":[],"usage":{"prompt_tokens":195,"completion_tokens":140,"total_tokens":335}}"#, [usage(195, 140, 0)])
        .done()
}

/// Old versions send a new id with each part of a call.
fn vllm() -> Form {
    Form::completion("vLLM", Ok(FinishReason::ToolCalls))
        .data(r#"{"id":"chatcmpl-v","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}],"prompt_token_ids":null}"#, [])
        .data(r#"{"id":"chatcmpl-v","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"reasoning":"So.","reasoning_content":"So."},"logprobs":null,"finish_reason":null,"token_ids":null}]}"#, [reasoning("So.")])
        .data(r#"{"id":"chatcmpl-v","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"tool_calls":[{"id":"chatcmpl-tool-1","type":"function","index":0,"function":{"name":"find","arguments":""}}]},"logprobs":null,"finish_reason":null}]}"#, [])
        .data(r#"{"id":"chatcmpl-v","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"tool_calls":[{"id":"chatcmpl-tool-2","type":"function","index":0,"function":{"name":null,"arguments":"{\"q\": "}}]},"logprobs":null,"finish_reason":null}]}"#, [])
        .data(r#"{"id":"chatcmpl-v","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"tool_calls":[{"id":"chatcmpl-tool-3","type":"function","index":0,"function":{"arguments":"\"x\"}"}}]},"logprobs":null,"finish_reason":null}]}"#, [])
        .last(r#"{"id":"chatcmpl-v","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":""},"logprobs":null,"finish_reason":"tool_calls","stop_reason":null}]}"#, [tool_call("chatcmpl-tool-1", "find", json!({ "q": "x" }))])
        .data(r#"{"id":"chatcmpl-v","object":"chat.completion.chunk","choices":[],"usage":{"prompt_tokens":10,"total_tokens":25,"completion_tokens":15}}"#, [usage(10, 15, 0)])
        .done()
}

fn vllm_error() -> Form {
    Form::completion("vLLM, with an error", Err(ReplyErrorCode::ContextTooLong))
        .data(r#"{"object":"error","message":"The decoder prompt (length 9000) is longer than the maximum model length of 8192. Make sure that `max_model_len` is no smaller than the number of text tokens.","type":"BadRequestError","param":null,"code":400}"#, [])
}

fn lm_studio() -> Form {
    Form::completion("LM Studio", Ok(FinishReason::Stop))
        .data(r#"{"id":"chatcmpl-l","object":"chat.completion.chunk","model":"qwen3","system_fingerprint":"qwen3","choices":[{"index":0,"delta":{"role":"assistant","reasoning_content":"Short."},"logprobs":null,"finish_reason":null}]}"#, [reasoning("Short.")])
        .data(r#"{"id":"chatcmpl-l","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":"Yes."},"logprobs":null,"finish_reason":null}]}"#, [text("Yes.")])
        .last(r#"{"id":"chatcmpl-l","object":"chat.completion.chunk","choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]}"#, [])
        .data(r#"{"id":"chatcmpl-l","object":"chat.completion.chunk","choices":[],"usage":{"prompt_tokens":12,"completion_tokens":6,"total_tokens":18}}"#, [usage(12, 6, 0)])
        .done()
}

fn llama_cpp() -> Form {
    Form::completion("llama.cpp", Ok(FinishReason::Stop))
        .data(r#"{"choices":[{"finish_reason":null,"index":0,"delta":{"role":"assistant","content":null}}],"created":1,"id":"chatcmpl-c","model":"gpt-oss","system_fingerprint":"b6000","object":"chat.completion.chunk"}"#, [])
        .data(r#"{"choices":[{"finish_reason":null,"index":0,"delta":{"reasoning_content":"User greets."}}],"id":"chatcmpl-c","object":"chat.completion.chunk"}"#, [reasoning("User greets.")])
        .data(r#"{"choices":[{"finish_reason":null,"index":0,"delta":{"content":"Hi"}}],"id":"chatcmpl-c","object":"chat.completion.chunk"}"#, [text("Hi")])
        .last(r#"{"choices":[{"finish_reason":"stop","index":0,"delta":{}}],"id":"chatcmpl-c","object":"chat.completion.chunk"}"#, [])
        .data(r#"{"choices":[],"id":"chatcmpl-c","object":"chat.completion.chunk","usage":{"completion_tokens":5,"prompt_tokens":70,"total_tokens":75},"timings":{"cache_n":64,"prompt_n":6,"predicted_per_second":52.1}}"#, [usage(70, 5, 0)])
        .done()
}
