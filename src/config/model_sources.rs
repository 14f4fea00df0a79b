//! Where models come from: keys and addresses of the built-in providers, and the file that names more.

use std::path::PathBuf;

use super::Secret;
use super::models::{ModelSettings, ProviderKeys};

/// The section.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ModelSources {
    /// Key for Claude; turns its models on.
    #[arg(long, hide_env_values = true, value_parser = secret)]
    pub anthropic_api_key: Option<Secret>,
    /// Address of the Claude API [default: the vendor's].
    #[arg(long)]
    pub anthropic_base_url: Option<String>,
    /// Key for OpenAI; turns its models on.
    #[arg(long, hide_env_values = true, value_parser = secret)]
    pub openai_api_key: Option<Secret>,
    /// Address of the OpenAI API [default: the vendor's].
    #[arg(long)]
    pub openai_base_url: Option<String>,
    /// Key for Groq; turns its models on.
    #[arg(long, hide_env_values = true, value_parser = secret)]
    pub groq_api_key: Option<Secret>,
    /// Address of an Ollama server; turns its models on.
    #[arg(long)]
    pub ollama_base_url: Option<String>,
    /// TOML file with more providers and models, or other prices.
    #[arg(long)]
    pub models_file: Option<PathBuf>,
    /// Model of new chats [default: the first that is available; `demo` if none is].
    #[arg(long)]
    pub default_model: Option<String>,
}

impl ModelSources {
    /// Reads the file and puts everything together. `api_key_env` names variables of this process.
    ///
    /// # Errors
    /// One line about the first thing that is wrong.
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
