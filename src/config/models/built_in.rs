//! The built-in models, from their vendors' pages in November 2026.

use super::ModelEntry;

/// Default time limit for the first event of a model, in seconds.
pub(super) const FIRST_EVENT_SECONDS: u32 = 60;

/// A built-in model.
pub(super) struct BuiltIn {
    pub(super) id: &'static str,
    pub(super) provider: &'static str,
    upstream: &'static str,
    display_name: &'static str,
    context_window: u32,
    max_output_tokens: Option<u32>,
    /// Microdollars per million tokens: input, output, cached input.
    prices: (i64, i64, Option<i64>),
    temperature: bool,
    reasoning: bool,
}

impl BuiltIn {
    pub(super) fn entry(&self) -> ModelEntry {
        ModelEntry {
            id: self.id.to_owned(),
            provider: self.provider.to_owned(),
            upstream: self.upstream.to_owned(),
            display_name: self.display_name.to_owned(),
            context_window: self.context_window,
            max_output_tokens: self.max_output_tokens,
            input_price: Some(self.prices.0),
            output_price: Some(self.prices.1),
            cached_input_price: self.prices.2,
            fallback: Vec::new(),
            temperature: self.temperature,
            reasoning: self.reasoning,
            first_event_seconds: FIRST_EVENT_SECONDS,
        }
    }
}

/// The built-in model with this id, whether it is enabled or not.
pub(super) fn find(id: &str) -> Option<&'static BuiltIn> {
    VENDORS.iter().chain(&DEMO).find(|known| known.id == id)
}

/// The vendors allow 128,000. Every reply reserves this much of a quota, and no chat needs more.
const MAX_OUTPUT: Option<u32> = Some(32_000);

/// Claude 5 and GPT-5 and later refuse a temperature.
const fn vendor(
    (provider, id): (&'static str, &'static str),
    display_name: &'static str,
    context_window: u32,
    prices: (i64, i64, Option<i64>),
    reasoning: bool,
) -> BuiltIn {
    BuiltIn {
        id,
        provider,
        upstream: id,
        display_name,
        context_window,
        max_output_tokens: MAX_OUTPUT,
        prices,
        temperature: false,
        reasoning,
    }
}

const fn groq(
    id: &'static str,
    upstream: &'static str,
    display_name: &'static str,
    prices: (i64, i64, Option<i64>),
) -> BuiltIn {
    BuiltIn {
        id,
        provider: "groq",
        upstream,
        display_name,
        context_window: 131_072,
        max_output_tokens: MAX_OUTPUT,
        prices,
        temperature: true,
        reasoning: false,
    }
}

/// Where a vendor charges more above a prompt length, the context window ends there, so that the price is correct.
pub(super) static VENDORS: [BuiltIn; 9] = [
    vendor(
        ("anthropic", "claude-sonnet-5-5"),
        "Claude Sonnet 5.5",
        1_000_000,
        (2_000_000, 10_000_000, Some(200_000)),
        true,
    ),
    vendor(
        ("anthropic", "claude-opus-5-5"),
        "Claude Opus 5.5",
        1_000_000,
        (4_000_000, 20_000_000, Some(200_000)),
        true,
    ),
    vendor(("anthropic", "claude-haiku-5-5"), "Claude Haiku 5.5", 100_000, (100_000, 500_000, None), true),
    vendor(("anthropic", "claude-fable-5-1"), "Claude Fable 5.1", 1_000_000, (10_000_000, 50_000_000, None), true),
    vendor(("openai", "gpt-6-sol"), "GPT-6 Sol", 272_000, (2_000_000, 10_000_000, None), false),
    vendor(("openai", "gpt-6-luna"), "GPT-6 Luna", 272_000, (100_000, 500_000, None), false),
    vendor(("openai", "gpt-6-astra"), "GPT-6 Astra", 272_000, (10_000_000, 50_000_000, None), false),
    groq("groq/gpt-oss-120b", "openai/gpt-oss-120b", "GPT-OSS 120B (Groq)", (150_000, 600_000, None)),
    groq("groq/gpt-oss-20b", "openai/gpt-oss-20b", "GPT-OSS 20B (Groq)", (75_000, 300_000, None)),
];

const fn demo(id: &'static str, display_name: &'static str) -> BuiltIn {
    BuiltIn {
        id,
        provider: "demo",
        upstream: id,
        display_name,
        context_window: 32_000,
        max_output_tokens: None,
        prices: (0, 0, None),
        temperature: true,
        reasoning: false,
    }
}

/// The first is always offered; the others are for testing.
pub(super) static DEMO: [BuiltIn; 10] = [
    demo("demo", "Demo"),
    demo("demo/slow", "Demo: slow"),
    demo("demo/fast", "Demo: fast"),
    demo("demo/long", "Demo: long"),
    demo("demo/fails", "Demo: fails immediately"),
    demo("demo/breaks", "Demo: fails during the reply"),
    demo("demo/stalls", "Demo: stops sending"),
    demo("demo/reasoning", "Demo: reasons first"),
    demo("demo/tools", "Demo: calls a tool"),
    demo("demo/unicode", "Demo: many scripts"),
];

/// The models of a demo provider; each has a different behaviour.
pub const DEMO_UPSTREAMS: [&str; 10] = {
    let mut names = [""; 10];
    let mut place = 0;
    while place < names.len() {
        names[place] = DEMO[place].upstream;
        place += 1;
    }
    names
};
