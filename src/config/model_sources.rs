//! Settings for models: keys and URLs of the built-in providers, and the file with further providers and models.

use std::path::PathBuf;

use super::Secret;
use super::models::{ModelSettings, ProviderKeys};

/// Settings for models.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Models")]
pub struct ModelSources {
    /// API key for Anthropic; enables the Claude models.
    #[arg(long, hide_env_values = true, value_parser = secret)]
    pub anthropic_api_key: Option<Secret>,
    /// Base URL of the Anthropic API [default: the vendor's].
    #[arg(long)]
    pub anthropic_base_url: Option<String>,
    /// API key for OpenAI; enables its models.
    #[arg(long, hide_env_values = true, value_parser = secret)]
    pub openai_api_key: Option<Secret>,
    /// Base URL of the OpenAI API [default: the vendor's].
    #[arg(long)]
    pub openai_base_url: Option<String>,
    /// API key for Groq; enables its models.
    #[arg(long, hide_env_values = true, value_parser = secret)]
    pub groq_api_key: Option<Secret>,
    /// Base URL of an Ollama server; enables the models of MODELS_FILE that use it.
    #[arg(long)]
    pub ollama_base_url: Option<String>,
    /// TOML file with further providers and models, or other prices.
    #[arg(long)]
    pub models_file: Option<PathBuf>,
    /// Model of new chats without a model and a character with one [default: the first available model, or `demo`].
    #[arg(long)]
    pub default_model: Option<String>,
}

impl ModelSources {
    /// Reads the file and combines all settings for models. `api_key_env` refers to this process's environment.
    ///
    /// # Errors
    /// The first error, as one line.
    pub fn load(&self) -> Result<ModelSettings, String> {
        let keys = ProviderKeys {
            anthropic_api_key: self.anthropic_api_key.clone(),
            anthropic_base_url: self.anthropic_base_url.clone(),
            openai_api_key: self.openai_api_key.clone(),
            openai_base_url: self.openai_base_url.clone(),
            groq_api_key: self.groq_api_key.clone(),
            ollama_base_url: self.ollama_base_url.clone(),
        };
        let environment = |name: &str| std::env::var(name).ok();
        ModelSettings::load(self.models_file.as_deref(), &keys, self.default_model.as_deref(), &environment)
    }
}

fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::from(text.to_owned()))
}
