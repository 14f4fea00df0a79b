//! The models that this server offers: the built-in ones and those of `MODELS_FILE`.
//!
//! An error is one line with the variable, the value and the accepted values.

mod built_in;
mod file;

use std::fmt;
use std::path::Path;

use reqwest::Url;

pub use built_in::DEMO_UPSTREAMS;
use built_in::{DEMO, VENDORS};
use file::ModelsFile;

/// A secret value that is never logged.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(key: String) -> Self {
        Self(key)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// The variables that enable the built-in providers. Blank values count as unset.
#[derive(Debug, Clone, Default)]
pub struct ProviderKeys {
    /// `ANTHROPIC_API_KEY`, or `CLAUDE_API_KEY`.
    pub anthropic_api_key: Option<Secret>,
    /// `ANTHROPIC_BASE_URL`.
    pub anthropic_base_url: Option<String>,
    /// `OPENAI_API_KEY`.
    pub openai_api_key: Option<Secret>,
    /// `OPENAI_BASE_URL`.
    pub openai_base_url: Option<String>,
    /// `GROQ_API_KEY`.
    pub groq_api_key: Option<Secret>,
    /// `OLLAMA_BASE_URL`.
    pub ollama_base_url: Option<String>,
}

/// The protocol of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProviderKind {
    /// Chat completions: OpenAI, Groq, Ollama, vLLM and compatible servers.
    OpenAi,
    /// Anthropic Messages.
    Anthropic,
    /// Replies generated in this process.
    Demo,
}

/// The URL and credentials of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderSettings {
    /// The name by which models refer to the provider.
    pub name: String,
    /// The provider's protocol.
    pub kind: ProviderKind,
    /// The base URL of its API, without a trailing slash; empty for a demo.
    pub base_url: String,
    /// The API key, if required.
    pub api_key: Option<Secret>,
    /// Why it cannot be used, as human-readable text; its models are listed but not available.
    pub missing: Option<String>,
}

/// A model. Prices are in picodollars per token, which is the same number as microdollars per million tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelEntry {
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
    /// Models to use if this one fails, in order.
    pub fallback: Vec<String>,
    /// Whether requests may contain a temperature; newer models refuse such requests.
    pub temperature: bool,
    /// Whether to request its reasoning, which newer Claude models omit by default.
    pub reasoning: bool,
    /// Time limit for the first event, in seconds.
    pub first_event_seconds: u32,
}

/// All providers and models, validated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelSettings {
    /// The providers of the models.
    pub providers: Vec<ProviderSettings>,
    /// In the order that clients see.
    pub models: Vec<ModelEntry>,
    /// The id of the default model of new chats.
    pub default_model: String,
}

impl ModelSettings {
    /// Combines the settings for models. `environment` looks up the variables in `api_key_env`.
    ///
    /// # Errors
    /// The first error, as one line.
    pub fn load(
        models_file: Option<&Path>,
        keys: &ProviderKeys,
        default_model: Option<&str>,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, String> {
        let built_in = built_in_providers(keys)?;
        let (file, origin) = match models_file {
            None => (ModelsFile::default(), String::new()),
            Some(path) => {
                let origin = format!("MODELS_FILE={}: ", path.display());
                let file = ModelsFile::read(path).map_err(|cause| format!("{origin}{cause}"))?;
                (file, origin)
            }
        };
        let (providers, models) = assemble(built_in, &file, environment).map_err(|cause| format!("{origin}{cause}"))?;
        let default_model = choose_default(default_model, &providers, &models)?;
        Ok(Self { providers, models, default_model })
    }
}

impl ModelSettings {
    /// One line for the log: the available models, and why the models of other providers are not available.
    pub fn summary(&self) -> String {
        let reason = |model: &ModelEntry| {
            let provider = self.providers.iter().find(|provider| provider.name == model.provider)?;
            provider.missing.as_deref()
        };
        let available = self.models.iter().filter(|model| reason(model).is_none()).map(|model| model.id.as_str());
        let available: Vec<&str> = available.collect();
        let missing = self
            .providers
            .iter()
            .filter_map(|provider| provider.missing.as_deref().map(|missing| format!("{} ({missing})", provider.name)));
        let missing: Vec<String> = missing.collect();
        let mut line = format!("{}; default {}", available.join(", "), self.default_model);
        if !missing.is_empty() {
            line = format!("{line}; not available: {}", missing.join(", "));
        }
        line
    }
}

/// Merges the file's providers and models into the built-in ones.
fn assemble(
    mut providers: Vec<ProviderSettings>,
    file: &ModelsFile,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<(Vec<ProviderSettings>, Vec<ModelEntry>), String> {
    let is_replaced = |name: &str| file.providers.iter().any(|provider| provider.name == name);
    let overriding = |id: &str| file.models.iter().find(|model| model.id == id);

    let mut models = Vec::new();
    providers.retain(|provider| !is_replaced(&provider.name));
    for known in &VENDORS {
        let has_key = |provider: &ProviderSettings| provider.name == known.provider && provider.api_key.is_some();
        match overriding(known.id) {
            Some(model) => models.push(model.resolve(Some(known))?),
            None if providers.iter().any(has_key) => models.push(known.entry()),
            None => {}
        }
    }
    for model in file.models.iter().filter(|model| built_in::find(&model.id).is_none()) {
        models.push(model.resolve(None)?);
    }
    for provider in &file.providers {
        providers.push(provider.resolve(environment)?);
    }

    let is_real = |model: &ModelEntry| {
        let provider = providers.iter().find(|provider| provider.name == model.provider);
        provider.is_some_and(|provider| provider.kind != ProviderKind::Demo && provider.missing.is_none())
    };
    let show_all_demos = is_replaced("demo") || !models.iter().any(is_real);
    for (place, known) in DEMO.iter().enumerate() {
        match overriding(known.id) {
            Some(model) => models.push(model.resolve(Some(known))?),
            None if place == 0 || show_all_demos => models.push(known.entry()),
            None => {}
        }
    }
    check_references(&providers, &models)?;
    Ok((providers, models))
}

fn built_in_providers(keys: &ProviderKeys) -> Result<Vec<ProviderSettings>, String> {
    let anthropic = keys.anthropic_base_url.as_deref().filter(|url| !url.trim().is_empty());
    let openai = keys.openai_base_url.as_deref().filter(|url| !url.trim().is_empty());
    let ollama = keys.ollama_base_url.as_deref().filter(|url| !url.trim().is_empty());
    Ok(vec![
        vendor(
            "anthropic",
            ProviderKind::Anthropic,
            base_url(anthropic.unwrap_or(ANTHROPIC_URL)).map_err(|cause| format!("ANTHROPIC_BASE_URL={cause}"))?,
            anthropic.is_some(),
            keys.anthropic_api_key.as_ref(),
            "ANTHROPIC_API_KEY",
        )?,
        vendor(
            "openai",
            ProviderKind::OpenAi,
            base_url(openai.unwrap_or(OPENAI_URL)).map_err(|cause| format!("OPENAI_BASE_URL={cause}"))?,
            openai.is_some(),
            keys.openai_api_key.as_ref(),
            "OPENAI_API_KEY",
        )?,
        vendor("groq", ProviderKind::OpenAi, GROQ_URL.to_owned(), false, keys.groq_api_key.as_ref(), "GROQ_API_KEY")?,
        ProviderSettings {
            name: "ollama".to_owned(),
            kind: ProviderKind::OpenAi,
            base_url: match ollama {
                None => String::new(),
                Some(url) => {
                    let url = base_url(url).map_err(|cause| format!("OLLAMA_BASE_URL={cause}"))?;
                    if url.ends_with("/v1") { url } else { url + "/v1" }
                }
            },
            api_key: None,
            missing: ollama.is_none().then(|| "OLLAMA_BASE_URL is not set".to_owned()),
        },
        ProviderSettings {
            name: "demo".to_owned(),
            kind: ProviderKind::Demo,
            base_url: String::new(),
            api_key: None,
            missing: None,
        },
    ])
}

fn vendor(
    name: &str,
    kind: ProviderKind,
    base_url: String,
    is_local: bool,
    key: Option<&Secret>,
    variable: &str,
) -> Result<ProviderSettings, String> {
    let api_key = clean_key(key, variable)?;
    let missing = (api_key.is_none() && !is_local).then(|| format!("{variable} is not set"));
    Ok(ProviderSettings { name: name.to_owned(), kind, base_url, api_key, missing })
}

const ANTHROPIC_URL: &str = "https://api.anthropic.com";
const OPENAI_URL: &str = "https://api.openai.com/v1";
const GROQ_URL: &str = "https://api.groq.com/openai/v1";

/// The URL without a trailing slash, or the error `<value>: <accepted values>`.
fn base_url(text: &str) -> Result<String, String> {
    const ACCEPTED: &str = "accepted: an http or https URL without user, query or fragment";
    let text = text.trim();
    let url = Url::parse(text).map_err(|cause| format!("{text:?}: {cause}; {ACCEPTED}"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!("(hidden because it contains a user or password): {ACCEPTED}"));
    }
    if !matches!(url.scheme(), "http" | "https") || url.query().is_some() || url.fragment().is_some() {
        return Err(format!("{text:?}: {ACCEPTED}"));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// The trimmed key; `None` if it is blank.
fn clean_key(key: Option<&Secret>, variable: &str) -> Result<Option<Secret>, String> {
    let Some(key) = key.map(|key| key.expose().trim()).filter(|key| !key.is_empty()) else { return Ok(None) };
    if key.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(Some(Secret(key.to_owned())))
    } else {
        Err(format!("{variable}=[secret]: contains a space or a non-ASCII character; accepted: the key alone"))
    }
}

fn check_references(providers: &[ProviderSettings], models: &[ModelEntry]) -> Result<(), String> {
    for model in models {
        let Some(provider) = providers.iter().find(|provider| provider.name == model.provider) else {
            let names: Vec<&str> = providers.iter().map(|provider| provider.name.as_str()).collect();
            return Err(format!(
                "model {:?}: provider {:?} is unknown; accepted: {}",
                model.id,
                model.provider,
                names.join(", ")
            ));
        };
        if provider.kind == ProviderKind::Demo && !DEMO_UPSTREAMS.contains(&model.upstream.as_str()) {
            return Err(format!(
                "model {:?}: upstream {:?} is unknown; accepted: {}",
                model.id,
                model.upstream,
                DEMO_UPSTREAMS.join(", ")
            ));
        }
        let is_known = |id: &str| models.iter().any(|other| other.id == id) || built_in::find(id).is_some();
        if let Some(unknown) = model.fallback.iter().find(|id| !is_known(id) || **id == model.id) {
            return Err(format!(
                "model {:?}: fallback {unknown:?} is unknown; accepted: ids of other models",
                model.id
            ));
        }
    }
    Ok(())
}

fn choose_default(
    wanted: Option<&str>,
    providers: &[ProviderSettings],
    models: &[ModelEntry],
) -> Result<String, String> {
    let missing = |model: &ModelEntry| {
        providers.iter().find(|provider| provider.name == model.provider).and_then(|found| found.missing.clone())
    };
    let available: Vec<&str> =
        models.iter().filter(|model| missing(model).is_none()).map(|model| model.id.as_str()).collect();
    let Some(wanted) = wanted.map(str::trim).filter(|id| !id.is_empty()) else {
        return Ok(available.first().copied().unwrap_or("demo").to_owned());
    };
    let problem = match models.iter().find(|model| model.id == wanted) {
        Some(model) => match missing(model) {
            None => return Ok(wanted.to_owned()),
            Some(missing) => format!("not available because {missing}"),
        },
        None => match built_in::find(wanted).and_then(|known| {
            let provider = providers.iter().find(|provider| provider.name == known.provider)?;
            provider.missing.clone()
        }) {
            Some(missing) => format!("not available because {missing}"),
            None => "unknown".to_owned(),
        },
    };
    Err(format!("DEFAULT_MODEL={wanted:?}: {problem}; accepted: {}", available.join(", ")))
}

#[cfg(test)]
mod tests;
