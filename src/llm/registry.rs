//! The models of this server.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::Client;

use super::anthropic::Anthropic;
use super::demo::Demo;
use super::openai::OpenAi;
use super::{CompletionRequest, EventStream, Provider, ProviderError, Usage};
use crate::config::models::{ModelEntry, ModelSettings, ProviderKind, ProviderSettings};
use crate::entity::enums::ReplyErrorCode;

/// The maximum number of models that one reply tries.
const MAX_CHAIN: usize = 8;

/// A model and its provider. Prices are in picodollars per token, which is the same number as microdollars per million
/// tokens.
#[derive(Clone)]
pub struct Model {
    /// The id for clients.
    pub id: String,
    /// The name of its provider.
    pub provider: String,
    /// The model's name at the provider.
    pub upstream: String,
    /// The human-readable name.
    pub display_name: String,
    /// The total number of tokens of prompt and reply.
    pub context_window: u32,
    /// The maximum number of tokens of a reply.
    pub max_output_tokens: Option<u32>,
    /// Price of an input token.
    pub input_price: Option<i64>,
    /// Price of an output token.
    pub output_price: Option<i64>,
    /// Price of an input token from the provider's cache; `input_price` if absent.
    pub cached_input_price: Option<i64>,
    /// Time limit from the request to the first visible event. Usage and pings are not visible.
    pub first_event: Duration,
    /// Models to use if this one fails, in order.
    pub fallback: Vec<String>,
    /// Whether its provider is configured, in particular has a key.
    pub is_available: bool,
    /// Whether it is a demo model, which cannot write titles or summaries.
    pub is_demo: bool,
    /// Sends requests to it.
    pub service: Arc<dyn Provider>,
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model").field("id", &self.id).field("is_available", &self.is_available).finish_non_exhaustive()
    }
}

impl Model {
    fn new(entry: &ModelEntry, provider: &ProviderSettings, client: &Client) -> Result<Self, String> {
        let service: Arc<dyn Provider> = match (provider.kind, &provider.missing) {
            (_, Some(missing)) => Arc::new(Unavailable(missing.clone())),
            (ProviderKind::Anthropic, None) => Arc::new(Anthropic::new(client.clone(), provider, entry)?),
            (ProviderKind::OpenAi, None) => Arc::new(OpenAi::new(client.clone(), provider, entry)?),
            (ProviderKind::Demo, None) => Arc::new(Demo),
        };
        Ok(Self {
            id: entry.id.clone(),
            provider: entry.provider.clone(),
            upstream: entry.upstream.clone(),
            display_name: entry.display_name.clone(),
            context_window: entry.context_window,
            max_output_tokens: entry.max_output_tokens,
            input_price: entry.input_price,
            output_price: entry.output_price,
            cached_input_price: entry.cached_input_price,
            first_event: Duration::from_secs(entry.first_event_seconds.into()),
            fallback: entry.fallback.clone(),
            is_available: provider.missing.is_none(),
            is_demo: provider.kind == ProviderKind::Demo,
            service,
        })
    }

    /// The cost of a reply, in nanodollars, rounded to the nearest; `None` if the prices are not known.
    pub fn cost(&self, usage: &Usage) -> Option<i64> {
        let (input, output) = (i128::from(self.input_price?), i128::from(self.output_price?));
        let cached = self.cached_input_price.map_or(input, i128::from);
        let cached_tokens = i128::from(usage.cached_input_tokens.min(usage.input_tokens));
        let read = i128::from(usage.input_tokens) - cached_tokens;
        let picodollars = read * input + cached_tokens * cached + i128::from(usage.output_tokens) * output;
        Some(i64::try_from((picodollars + 500) / 1000).unwrap_or(i64::MAX))
    }
}

/// Replaces a provider without a key; every request fails.
struct Unavailable(String);

#[async_trait]
impl Provider for Unavailable {
    async fn stream(&self, _: &CompletionRequest) -> Result<EventStream, ProviderError> {
        Err(ProviderError::new(ReplyErrorCode::ProviderRejected, &self.0))
    }
}

/// All models, in the order that clients see.
#[derive(Debug, Clone)]
pub struct Registry {
    models: Vec<Arc<Model>>,
    by_id: HashMap<String, Arc<Model>>,
    default_model: Arc<Model>,
    is_demo: bool,
}

impl Registry {
    /// Connects the models to their providers, with one shared HTTP client.
    ///
    /// # Errors
    /// Inconsistent settings, as one line.
    pub fn build(settings: &ModelSettings, client: Client) -> Result<Self, String> {
        let mut models = Vec::with_capacity(settings.models.len());
        let mut is_demo = true;
        for entry in &settings.models {
            let provider = settings.providers.iter().find(|provider| provider.name == entry.provider);
            let provider =
                provider.ok_or_else(|| format!("model {:?}: provider {:?} is unknown", entry.id, entry.provider))?;
            is_demo &= provider.kind == ProviderKind::Demo || provider.missing.is_some();
            models.push(Arc::new(Model::new(entry, provider, &client)?));
        }
        let by_id: HashMap<_, _> = models.iter().map(|model| (model.id.clone(), model.clone())).collect();
        let default_model = by_id.get(&settings.default_model).cloned();
        let default_model =
            default_model.ok_or_else(|| format!("DEFAULT_MODEL={:?}: unknown", settings.default_model))?;
        Ok(Self { models, by_id, default_model, is_demo })
    }

    /// The model with this id, available or not.
    pub fn get(&self, id: &str) -> Option<Arc<Model>> {
        self.by_id.get(id).cloned()
    }

    /// All models.
    pub fn all(&self) -> &[Arc<Model>] {
        &self.models
    }

    /// The default model of new chats.
    pub fn default_model(&self) -> &Arc<Model> {
        &self.default_model
    }

    /// Whether only the demo model is available.
    pub fn is_demo(&self) -> bool {
        self.is_demo
    }

    /// The model with this id, then its fallbacks and their fallbacks, breadth first: each available model once, at
    /// most eight.
    pub fn chain(&self, id: &str) -> Vec<Arc<Model>> {
        let mut seen: Vec<&Arc<Model>> = self.by_id.get(id).into_iter().collect();
        let mut next = 0;
        while let Some(model) = seen.get(next).copied() {
            for fallback in model.fallback.iter().filter_map(|id| self.by_id.get(id)) {
                if !seen.iter().any(|known| known.id == fallback.id) {
                    seen.push(fallback);
                }
            }
            next += 1;
        }
        seen.into_iter().filter(|model| model.is_available).take(MAX_CHAIN).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::models::ProviderKeys;
    use crate::llm::tests::client;

    fn registry(text: &str) -> Registry {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let settings = ModelSettings::load(Some(file.path()), &ProviderKeys::default(), None, &|_| None).unwrap();
        Registry::build(&settings, client()).unwrap()
    }

    fn demo_model(id: &str, rest: &str) -> String {
        format!("[[models]]\nid = {id:?}\nprovider = \"demo\"\nupstream = \"demo\"\ncontext_window = 1000\n{rest}\n")
    }

    #[test]
    fn chains_do_not_repeat_models() {
        let registry = registry(
            &(demo_model("a", "fallback = [\"off\", \"b\", \"c\"]")
                + &demo_model("b", "fallback = [\"a\", \"d\"]")
                + &demo_model("c", "fallback = [\"demo\"]")
                + &demo_model("d", "fallback = [\"a\"]")
                + "[[models]]\nid = \"off\"\nprovider = \"openai\"\ncontext_window = 10\nfallback = [\"d\"]\n"),
        );
        let ids = |id: &str| registry.chain(id).iter().map(|model| model.id.clone()).collect::<Vec<_>>();
        assert_eq!(ids("a"), ["a", "b", "c", "d", "demo"]);
        assert_eq!(ids("demo"), ["demo"]);
        assert_eq!(ids("off"), ["d", "a", "b", "c", "demo"], "one without a key gives way at once");
        assert!(ids("none").is_empty());
        assert!(!registry.get("off").unwrap().is_available);
        assert!(registry.is_demo());
        assert_eq!(registry.default_model().id, "a");
    }

    #[test]
    fn long_chains_are_limited() {
        let text: String = (0..20)
            .map(|place| demo_model(&format!("m{place}"), &format!("fallback = [\"m{}\"]", (place + 1) % 20)))
            .collect();
        assert_eq!(registry(&text).chain("m0").len(), MAX_CHAIN);
    }

    #[test]
    fn costs_count_cached_tokens_once() {
        let registry = registry(
            &(demo_model("a", "input_price = 2\noutput_price = 10\ncached_input_price = 0.2")
                + &demo_model("b", "input_price = 0.15\noutput_price = 0.6")
                + &demo_model("c", "")),
        );
        let cost = |id: &str, input_tokens, output_tokens, cached_input_tokens| {
            registry.get(id).unwrap().cost(&Usage { input_tokens, output_tokens, cached_input_tokens })
        };
        assert_eq!(cost("a", 1_000_000, 0, 0), Some(2_000_000_000), "two dollars a million tokens");
        assert_eq!(cost("a", 1000, 100, 400), Some(600 * 2000 + 400 * 200 + 100 * 10_000));
        assert_eq!(cost("b", 1, 1, 1), Some(750));
        assert_eq!(cost("b", 1, 0, 9), Some(150), "more cached than read is a provider's slip");
        assert_eq!(cost("c", 1, 1, 0), None);
        assert!(cost("a", u32::MAX, u32::MAX, 0).unwrap() > 0);
    }
}
