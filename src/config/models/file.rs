//! The format of `MODELS_FILE` and its errors.

use std::collections::HashSet;
use std::io::Read as _;
use std::path::Path;

use serde::Deserialize;

use super::built_in::{BuiltIn, FIRST_EVENT_SECONDS};
use super::{ANTHROPIC_URL, OPENAI_URL};
use super::{ModelEntry, ProviderKind, ProviderSettings, Secret, base_url, clean_key};

const MAX_BYTES: u64 = 1024 * 1024;
const MAX_PROVIDERS: usize = 50;
const MAX_MODELS: usize = 500;
const MAX_FALLBACKS: usize = 8;
const MAX_NAME: usize = 128;
/// In US dollars per million tokens: fifty times the most expensive known model, so a higher price is a mistake of
/// units.
const MAX_PRICE: f64 = 10_000.0;
/// The driver's limit for a whole reply.
const MAX_FIRST_EVENT_SECONDS: u32 = 1200;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ModelsFile {
    #[serde(default)]
    pub(super) providers: Vec<ProviderTable>,
    #[serde(default)]
    pub(super) models: Vec<ModelTable>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProviderTable {
    pub(super) name: String,
    kind: ProviderKind,
    base_url: Option<String>,
    api_key_env: Option<String>,
}

/// For a built-in model, only `id` is required; absent fields keep their built-in values.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ModelTable {
    pub(super) id: String,
    provider: Option<String>,
    upstream: Option<String>,
    display_name: Option<String>,
    context_window: Option<u32>,
    max_output_tokens: Option<u32>,
    input_price: Option<f64>,
    output_price: Option<f64>,
    cached_input_price: Option<f64>,
    fallback: Option<Vec<String>>,
    temperature: Option<bool>,
    reasoning: Option<bool>,
    first_event_seconds: Option<u32>,
}

fn read(path: &Path) -> Result<String, String> {
    let describe = |cause: std::io::Error| format!("{cause}; accepted: a TOML file that this process can read");
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(describe)?;
    file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(describe)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(format!("longer than {MAX_BYTES} bytes; accepted: a TOML file of at most that"));
    }
    Ok(text)
}

fn parse(text: &str) -> Result<ModelsFile, String> {
    toml::from_str(text).map_err(|cause: toml::de::Error| {
        let before = cause.span().and_then(|span| text.get(..span.start)).unwrap_or("");
        let line = before.matches('\n').count() + 1;
        let message = cause.message().split_whitespace().collect::<Vec<_>>().join(" ");
        format!("line {line}: {message}")
    })
}

impl ModelsFile {
    /// Reads the file and checks the rules that do not depend on other settings.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let file = parse(&read(path)?)?;
        file.validate()?;
        Ok(file)
    }

    fn validate(&self) -> Result<(), String> {
        if self.providers.len() > MAX_PROVIDERS || self.models.len() > MAX_MODELS {
            return Err(format!("too long; accepted: at most {MAX_PROVIDERS} providers and {MAX_MODELS} models"));
        }
        let mut seen = HashSet::new();
        for provider in &self.providers {
            check_name("provider", &provider.name)?;
            if !seen.insert(&provider.name) {
                return Err(format!("provider {:?} is defined twice; accepted: one of each name", provider.name));
            }
            if provider.name == "demo" && provider.kind != ProviderKind::Demo {
                return Err("provider \"demo\" must be of kind demo; accepted: kind = \"demo\"".to_owned());
            }
        }
        let mut seen = HashSet::new();
        for model in &self.models {
            check_name("model", &model.id)?;
            if !seen.insert(&model.id) {
                return Err(format!("model {:?} is defined twice; accepted: one of each id", model.id));
            }
        }
        Ok(())
    }
}

fn check_name(what: &str, name: &str) -> Result<(), String> {
    if !name.is_empty() && name.len() <= MAX_NAME && name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    Err(format!("{what} {name:?}: accepted: 1 to {MAX_NAME} ASCII letters, digits and signs without spaces"))
}

impl ProviderTable {
    pub(super) fn resolve(&self, environment: &dyn Fn(&str) -> Option<String>) -> Result<ProviderSettings, String> {
        let about = |cause: String| format!("provider {:?}: {cause}", self.name);
        let default_url = match self.kind {
            ProviderKind::Demo if self.base_url.is_some() || self.api_key_env.is_some() => {
                return Err(about("the kind demo does not accept base_url or api_key_env".to_owned()));
            }
            ProviderKind::Demo => None,
            _ if self.base_url.is_none() && self.api_key_env.is_none() => {
                return Err(about("accepted: a base_url, an api_key_env, or both".to_owned()));
            }
            ProviderKind::Anthropic => Some(ANTHROPIC_URL),
            ProviderKind::OpenAi => Some(OPENAI_URL),
        };
        let url = match self.base_url.as_deref().or(default_url) {
            Some(url) => base_url(url).map_err(|cause| about(format!("base_url = {cause}")))?,
            None => String::new(),
        };
        let (api_key, missing) = match &self.api_key_env {
            None => (None, None),
            Some(variable) => {
                let key = clean_key(environment(variable).map(Secret).as_ref(), variable).map_err(about)?;
                let missing = key.is_none().then(|| format!("{variable} is not set"));
                (key, missing)
            }
        };
        Ok(ProviderSettings { name: self.name.clone(), kind: self.kind, base_url: url, api_key, missing })
    }
}

impl ModelTable {
    /// The model, with the built-in model of the same id as defaults.
    pub(super) fn resolve(&self, built_in: Option<&BuiltIn>) -> Result<ModelEntry, String> {
        let about = |cause: String| format!("model {:?}: {cause}", self.id);
        let needed = |name: &str, accepted: &str| about(format!("{name} is absent; accepted: {accepted}"));
        let under = built_in.map(BuiltIn::entry);
        let provider = self.provider.clone().or_else(|| under.as_ref().map(|known| known.provider.clone()));
        let context_window = self.context_window.or_else(|| under.as_ref().map(|known| known.context_window));
        let price = |given: Option<f64>, name: &str, known: fn(&ModelEntry) -> Option<i64>| match given {
            Some(given) => price(given).map(Some).map_err(|cause| about(format!("{name} = {given}: {cause}"))),
            None => Ok(under.as_ref().and_then(known)),
        };
        let entry = ModelEntry {
            id: self.id.clone(),
            provider: provider.ok_or_else(|| needed("provider", "the name of a provider"))?,
            upstream: match (&self.upstream, &under) {
                (Some(upstream), _) => upstream.clone(),
                (None, Some(known)) => known.upstream.clone(),
                (None, None) => self.id.clone(),
            },
            display_name: match (&self.display_name, &under) {
                (Some(name), _) => name.clone(),
                (None, Some(known)) => known.display_name.clone(),
                (None, None) => self.id.clone(),
            },
            context_window: context_window.ok_or_else(|| needed("context_window", "1 to 4294967295 tokens"))?,
            max_output_tokens: self.max_output_tokens.or(under.as_ref().and_then(|known| known.max_output_tokens)),
            input_price: price(self.input_price, "input_price", |known| known.input_price)?,
            output_price: price(self.output_price, "output_price", |known| known.output_price)?,
            cached_input_price: price(self.cached_input_price, "cached_input_price", |known| known.cached_input_price)?,
            fallback: self.fallback.clone().unwrap_or_default(),
            temperature: self.temperature.unwrap_or(under.as_ref().is_none_or(|known| known.temperature)),
            reasoning: self.reasoning.unwrap_or(under.as_ref().is_some_and(|known| known.reasoning)),
            first_event_seconds: self.first_event_seconds.unwrap_or(FIRST_EVENT_SECONDS),
        };
        check_entry(&entry).map_err(about)?;
        Ok(entry)
    }
}

fn check_entry(model: &ModelEntry) -> Result<(), String> {
    if model.context_window == 0 {
        return Err("context_window = 0; accepted: 1 to 4294967295 tokens".to_owned());
    }
    if let Some(most) = model.max_output_tokens
        && (most == 0 || most > model.context_window)
    {
        return Err(format!("max_output_tokens = {most}; accepted: 1 to context_window ({})", model.context_window));
    }
    if model.upstream.trim().is_empty() || model.upstream.len() > MAX_NAME {
        return Err(format!("upstream = {:?}; accepted: 1 to {MAX_NAME} bytes", model.upstream));
    }
    if model.display_name.trim().is_empty() || model.display_name.len() > MAX_NAME {
        return Err(format!("display_name = {:?}; accepted: 1 to {MAX_NAME} bytes", model.display_name));
    }
    if model.input_price.is_some() != model.output_price.is_some()
        || model.cached_input_price.is_some() && model.input_price.is_none()
    {
        return Err("only some prices are given; accepted: input_price and output_price, or none".to_owned());
    }
    if !(1..=MAX_FIRST_EVENT_SECONDS).contains(&model.first_event_seconds) {
        let given = model.first_event_seconds;
        return Err(format!("first_event_seconds = {given}; accepted: 1 to {MAX_FIRST_EVENT_SECONDS}"));
    }
    if model.fallback.len() > MAX_FALLBACKS {
        return Err(format!("fallback names {} models; accepted: at most {MAX_FALLBACKS}", model.fallback.len()));
    }
    Ok(())
}

/// Converts US dollars per million tokens to picodollars per token.
fn price(dollars: f64) -> Result<i64, String> {
    let accepted = format!("accepted: 0 to {MAX_PRICE} US dollars per million tokens, with at most 6 decimals");
    if !(0.0..=MAX_PRICE).contains(&dollars) {
        return Err(accepted);
    }
    let picodollars = dollars * 1e6;
    if (picodollars - picodollars.round()).abs() > 1e-3 {
        return Err(accepted);
    }
    // The range check above keeps the value far below 2^53.
    Ok(picodollars.round() as i64)
}
