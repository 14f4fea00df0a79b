use std::io::Write as _;

use super::*;

const PROMISED: &str = r#"
[[providers]]
name = "local"
kind = "openai"
base_url = "http://127.0.0.1:9000/v1"
api_key_env = "LOCAL_API_KEY"

[[models]]
id = "local/small"
provider = "local"
upstream = "small-8k"
context_window = 8192
max_output_tokens = 1024
first_event_seconds = 300
input_price = 0.15
output_price = 0.60
fallback = ["demo"]
"#;

fn load(text: &str, keys: &ProviderKeys, default_model: Option<&str>) -> Result<ModelSettings, String> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let environment = |name: &str| (name == "LOCAL_API_KEY").then(|| "local-key\n".to_owned());
    ModelSettings::load(Some(file.path()), keys, default_model, &environment)
        .map_err(|cause| cause.replace(&file.path().display().to_string(), "models.toml"))
}

fn with_anthropic_key() -> ProviderKeys {
    ProviderKeys { anthropic_api_key: Some(Secret("sk-ant-1".to_owned())), ..ProviderKeys::default() }
}

fn model<'a>(settings: &'a ModelSettings, id: &str) -> &'a ModelEntry {
    settings.models.iter().find(|model| model.id == id).unwrap()
}

#[test]
fn the_documented_format_is_read() {
    let settings = load(PROMISED, &ProviderKeys::default(), None).unwrap();
    let small = model(&settings, "local/small");
    assert_eq!(
        (small.upstream.as_str(), small.context_window, small.max_output_tokens),
        ("small-8k", 8192, Some(1024))
    );
    assert_eq!((small.input_price, small.output_price), (Some(150_000), Some(600_000)));
    assert_eq!((small.first_event_seconds, model(&settings, "demo").first_event_seconds), (300, 60));
    assert_eq!(settings.default_model, "local/small");
    let local = settings.providers.iter().find(|provider| provider.name == "local").unwrap();
    assert_eq!(local.api_key.as_ref().map(Secret::expose), Some("local-key"));
    assert!(!format!("{settings:?}").contains("local-key"), "a key must not be printed");
    let ids: Vec<&str> = settings.models.iter().map(|model| model.id.as_str()).collect();
    assert_eq!(
        ids,
        ["local/small", "demo"],
        "with a real model, only the model `demo` of the demo provider is offered"
    );
}

/// Every `MODELS_FILE` example in the documentation, separately and together in one file.
#[test]
fn the_examples_in_the_documentation_are_read() {
    let entries = |document: &str| -> Vec<String> {
        let blocks = document.split("```toml\n").skip(1);
        blocks.map(|block| block.split("```").next().unwrap().to_owned()).collect()
    };
    let entries = entries(include_str!("../../../docs/providers.md"));
    assert!(entries.len() > 14, "{}", entries.len());
    let keys = |_: &str| Some("key".to_owned());
    for text in entries.iter().chain([&entries.concat()]) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let settings = ModelSettings::load(Some(file.path()), &with_anthropic_key(), None, &keys);
        assert!(settings.is_ok(), "{settings:?}\n{text}");
    }
}

#[test]
fn the_demo_is_available_without_settings() {
    let settings = ModelSettings::load(None, &ProviderKeys::default(), None, &|_| None).unwrap();
    assert_eq!(settings.default_model, "demo");
    let ids: Vec<&str> = settings.models.iter().map(|model| model.upstream.as_str()).collect();
    assert_eq!(ids, DEMO_UPSTREAMS);
}

#[test]
fn a_key_enables_its_models() {
    let settings = ModelSettings::load(None, &with_anthropic_key(), None, &|_| None).unwrap();
    assert_eq!(settings.default_model, "claude-sonnet-5-5");
    assert!(settings.models.iter().all(|model| model.provider == "anthropic" || model.id == "demo"));

    let blank = ProviderKeys { openai_api_key: Some(Secret(" ".to_owned())), ..ProviderKeys::default() };
    let settings = ModelSettings::load(None, &blank, None, &|_| None).unwrap();
    assert_eq!(settings.default_model, "demo");
}

#[test]
fn a_file_overrides_only_the_given_fields_of_a_built_in_model() {
    let text = "[[models]]\nid = \"claude-opus-5-5\"\ninput_price = 3\noutput_price = 12.000001\n";
    let settings = load(text, &with_anthropic_key(), None).unwrap();
    let opus = model(&settings, "claude-opus-5-5");
    assert_eq!((opus.input_price, opus.output_price), (Some(3_000_000), Some(12_000_001)));
    assert_eq!((opus.upstream.as_str(), opus.context_window), ("claude-opus-5-5", 1_000_000));
    assert_eq!(settings.models[1].id, "claude-opus-5-5", "the order is unchanged");
}

#[test]
fn a_missing_key_makes_models_unavailable_without_an_error() {
    let text = PROMISED.replace("\"LOCAL_API_KEY\"", "\"UNSET_KEY\"");
    let settings = load(&text, &ProviderKeys::default(), None).unwrap();
    let local = settings.providers.iter().find(|provider| provider.name == "local").unwrap();
    assert_eq!(local.missing.as_deref(), Some("UNSET_KEY is not set"));
    assert_eq!(settings.default_model, "demo");

    let text = "[[models]]\nid = \"claude-opus-5-5\"\nfallback = [\"gpt-6-sol\"]\n";
    let settings = load(text, &ProviderKeys::default(), None).unwrap();
    assert_eq!(settings.default_model, "demo", "a fallback may be a built-in model that is off");
}

#[test]
fn a_base_url_enables_a_local_server() {
    let keys = ProviderKeys { ollama_base_url: Some("http://127.0.0.1:11434/".to_owned()), ..ProviderKeys::default() };
    let settings =
        load("[[models]]\nid = \"llama\"\nprovider = \"ollama\"\ncontext_window = 8192\n", &keys, None).unwrap();
    let ollama = settings.providers.iter().find(|provider| provider.name == "ollama").unwrap();
    assert_eq!((ollama.base_url.as_str(), &ollama.missing), ("http://127.0.0.1:11434/v1", &None));
    assert_eq!(settings.default_model, "llama");
}

#[test]
fn a_replaced_provider_has_no_built_in_models() {
    let text = "[[providers]]\nname = \"anthropic\"\nkind = \"anthropic\"\nbase_url = \"http://127.0.0.1:1\"\n";
    let settings = load(text, &with_anthropic_key(), None).unwrap();
    assert_eq!(settings.default_model, "demo");
    let shown = load("[[providers]]\nname = \"demo\"\nkind = \"demo\"\n", &with_anthropic_key(), None).unwrap();
    assert!(shown.models.iter().any(|model| model.id == "demo/slow"));
}

/// Every kind of error, with its complete message.
#[test]
fn errors_in_the_file_are_reported_in_one_line() {
    let model = "[[models]]\nid = \"m\"\nprovider = \"demo\"\nupstream = \"demo\"\ncontext_window = 100\n";
    let cases = [
        ("models = 3".to_owned(), "line 1: invalid type: integer `3`, expected a sequence"),
        ("[[models]".to_owned(), "line 1: "),
        ("[[models]]\nid = \"m\"\nprize = 1\n".to_owned(), "line 3: unknown field `prize`, expected one of `id`"),
        ("[[providers]]\nname = \"a\"\nkind = \"x\"\n".to_owned(), "line 3: unknown variant `x`, expected"),
        ("[[providers]]\nname = \"a\"\nkind = \"openai\"\n".to_owned(), "provider \"a\": accepted: a base_url, an"),
        ("[[models]]\nid = \"m\"\n".to_owned(), "model \"m\": provider is absent; accepted: the name of a provider"),
        ("[[models]]\nid = \"m\"\nprovider = \"demo\"\n".to_owned(), "model \"m\": context_window is absent; acc"),
        ("[[models]]\nid = \"a b\"\n".to_owned(), "model \"a b\": accepted: 1 to 128 ASCII letters"),
        (model.replace("\"demo\"\nup", "\"x\"\nup"), "model \"m\": provider \"x\" is unknown; accepted: anthropic, "),
        (model.replace("= \"demo\"\nc", "= \"x\"\nc"), "model \"m\": upstream \"x\" is unknown; accepted: demo, dem"),
        (model.replace("100", "0"), "model \"m\": context_window = 0; accepted: 1 to 4294967295 tokens"),
        (model.replace("100", "-1"), "line 5: invalid value: integer `-1`, expected u32"),
        (format!("{model}{model}"), "model \"m\" is defined twice; accepted: one of each id"),
        (format!("{model}max_output_tokens = 101\n"), "model \"m\": max_output_tokens = 101; accepted: 1 to cont"),
        (format!("{model}first_event_seconds = 0\n"), "model \"m\": first_event_seconds = 0; accepted: 1 to 1200"),
        (format!("{model}first_event_seconds = 1201\n"), "model \"m\": first_event_seconds = 1201; accepted: 1 to"),
        (format!("{model}input_price = 1\n"), "model \"m\": only some prices are given; accepted: input_price and"),
        (format!("{model}input_price = -1\noutput_price = 1\n"), "model \"m\": input_price = -1: accepted: 0 to 10"),
        (format!("{model}input_price = nan\noutput_price = 1\n"), "model \"m\": input_price = NaN: accepted: 0 to"),
        (format!("{model}input_price = 0.0000001\noutput_price = 1\n"), "model \"m\": input_price = 0.0000001: acc"),
        (format!("{model}input_price = 1\noutput_price = 10001\n"), "model \"m\": output_price = 10001: accepted: "),
        (format!("{model}fallback = [\"x\"]\n"), "model \"m\": fallback \"x\" is unknown; accepted: ids of other mod"),
        (format!("{model}fallback = [\"m\"]\n"), "model \"m\": fallback \"m\" is unknown; accepted: ids of other mod"),
        (PROMISED.replace("http:", "ftp:"), "provider \"local\": base_url = \"ftp://127.0.0.1:9000/v1\": accepted: "),
        (PROMISED.replace("http:", ""), "provider \"local\": base_url = \"//127.0.0.1:9000/v1\": relative URL"),
        (
            PROMISED.replace("127.", "me:pass@127."),
            "provider \"local\": base_url = (hidden because it contains a user or",
        ),
    ];
    for (text, expected) in cases {
        let error = load(&text, &ProviderKeys::default(), None).expect_err(&text);
        let told = error.strip_prefix("MODELS_FILE=models.toml: ").expect(&error);
        assert!(told.starts_with(expected), "{text}\ngave {told}");
        assert!(!error.contains('\n'), "{error:?}");
    }
}

#[test]
fn errors_outside_the_file_name_their_variable() {
    let gone = ModelSettings::load(Some(Path::new("/nowhere/m.toml")), &ProviderKeys::default(), None, &|_| None);
    assert!(gone.unwrap_err().starts_with("MODELS_FILE=/nowhere/m.toml: No such file"));

    let unknown = load(PROMISED, &ProviderKeys::default(), Some("gpt-9")).unwrap_err();
    assert_eq!(unknown, "DEFAULT_MODEL=\"gpt-9\": unknown; accepted: local/small, demo");
    let off = load(PROMISED, &ProviderKeys::default(), Some("gpt-6-sol")).unwrap_err();
    assert_eq!(
        off,
        "DEFAULT_MODEL=\"gpt-6-sol\": not available because OPENAI_API_KEY is not set; accepted: local/small, demo"
    );

    let keys = ProviderKeys { openai_base_url: Some("localhost".to_owned()), ..ProviderKeys::default() };
    let bad_url = load("", &keys, None).unwrap_err();
    assert!(bad_url.starts_with("OPENAI_BASE_URL=\"localhost\": relative URL without a base; accepted: an http"));
    let keys = ProviderKeys { groq_api_key: Some(Secret("gsk a".to_owned())), ..ProviderKeys::default() };
    let bad_key = load("", &keys, None).unwrap_err();
    assert!(bad_key.starts_with("GROQ_API_KEY=[secret]: contains a space"), "{bad_key}");
}
