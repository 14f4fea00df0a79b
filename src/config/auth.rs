//! Settings for authentication: token secrets, token lifetimes, lockout, the default admin.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zxcvbn::{Score, zxcvbn};

use super::values::{boolean, line, number};
use super::{Secret, SettingError};

/// Minimum length of a secret, in bytes: the size of an HS256 signature (RFC 7518, section 3.2).
const MIN_SECRET_BYTES: usize = 32;
/// The file name of the generated secret in `DATA_DIR`.
const SECRET_FILE: &str = "jwt-secret";

/// Settings for authentication.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Accounts")]
pub struct AuthSettings {
    /// Secret that signs tokens, at least 32 bytes; in a comma-separated list, the first signs and all verify [default:
    /// generated in DATA_DIR].
    #[arg(long, hide_env_values = true, value_parser = signing_secrets)]
    pub jwt_secret: Option<SigningSecrets>,
    /// Lifetime of an access token, in minutes.
    #[arg(long, default_value = "15", value_parser = number::<u32>(1..=1440))]
    pub access_token_expire_minutes: u32,
    /// Days after which an unused session expires.
    #[arg(long, default_value = "7", value_parser = number::<u32>(1..=365))]
    pub refresh_token_expire_days: u32,
    /// Whether anyone may register.
    #[arg(long, default_value = "true", action = clap::ArgAction::Set, value_parser = boolean)]
    pub registration_open: bool,
    /// Failed sign-ins to an account from one source before that source is locked out of the account; 0 for no lockout.
    #[arg(long, default_value = "10", value_parser = number::<u32>(0..=10_000))]
    pub login_lockout_attempts: u32,
    /// Duration of a lockout, after which failures are forgotten, in minutes; 0 for no lockout.
    #[arg(long, default_value = "15", value_parser = number::<u32>(0..=10_080))]
    pub login_lockout_minutes: u32,
    /// Username of the default admin, created on the first start if username, e-mail address and password are all set.
    #[arg(long, value_parser = line)]
    pub default_admin_username: Option<String>,
    /// E-mail address of the default admin.
    #[arg(long, value_parser = line)]
    pub default_admin_email: Option<String>,
    /// Password of the default admin.
    #[arg(long, hide_env_values = true, value_parser = password)]
    pub default_admin_password: Option<Secret>,
}

/// Secrets for tokens: the first signs, all verify.
#[derive(Debug, Clone)]
pub struct SigningSecrets(Vec<Secret>);

/// The admin that is created on the first start.
#[derive(Debug, Clone)]
pub struct DefaultAdmin {
    /// `DEFAULT_ADMIN_USERNAME`
    pub username: String,
    /// `DEFAULT_ADMIN_EMAIL`
    pub email: String,
    /// `DEFAULT_ADMIN_PASSWORD`
    pub password: Secret,
}

impl AuthSettings {
    /// The admin to create on the first start; `None` unless all three variables are set.
    pub fn default_admin(&self) -> Option<DefaultAdmin> {
        Some(DefaultAdmin {
            username: self.default_admin_username.clone()?,
            email: self.default_admin_email.clone()?,
            password: self.default_admin_password.clone()?,
        })
    }

    /// A warning if only some of the three variables of the default admin are set.
    pub(super) fn incomplete_default_admin(&self) -> Option<String> {
        let variables = [
            ("DEFAULT_ADMIN_USERNAME", self.default_admin_username.is_some()),
            ("DEFAULT_ADMIN_EMAIL", self.default_admin_email.is_some()),
            ("DEFAULT_ADMIN_PASSWORD", self.default_admin_password.is_some()),
        ];
        let missing: Vec<&str> = variables.iter().filter(|(_, is_set)| !is_set).map(|(name, _)| *name).collect();
        let verb = if missing.len() == 1 { "is" } else { "are" };
        (1..variables.len()).contains(&missing.len()).then(|| {
            let missing = missing.join(" and ");
            format!("{missing} {verb} not set, so no default admin is created; set all three or none")
        })
    }

    /// The lifetime of an access token.
    pub fn access_token_lifetime(&self) -> Duration {
        Duration::from_secs(u64::from(self.access_token_expire_minutes) * 60)
    }

    /// The lifetime of a refresh token.
    pub fn refresh_token_lifetime(&self) -> Duration {
        Duration::from_secs(u64::from(self.refresh_token_expire_days) * 24 * 60 * 60)
    }

    /// The configured secrets, or the secret in `data_dir`, which the first start generates with file mode 0600.
    ///
    /// # Errors
    /// The file cannot be read or created, or contains no valid secret.
    pub fn signing_secrets(&self, data_dir: &Path) -> io::Result<SigningSecrets> {
        if let Some(secrets) = &self.jwt_secret {
            return Ok(secrets.clone());
        }
        let path = data_dir.join(SECRET_FILE);
        let text = match fs::read_to_string(&path) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => generate_secret(data_dir, &path)?,
            outcome => outcome?,
        };
        signing_secrets(&text).map_err(|accepted| {
            io::Error::new(io::ErrorKind::InvalidData, format!("{} must hold {accepted}", path.display()))
        })
    }

    /// Checks the additional rules of production.
    pub(super) fn validate_for_production(&self) -> Result<(), SettingError> {
        let accepted = "at least 32 random bytes in production (run `openssl rand -base64 32`)";
        let Some(secrets) = &self.jwt_secret else {
            return Err(SettingError::missing("JWT_SECRET", accepted));
        };
        if secrets.iter().any(is_guessable) {
            return Err(SettingError::secret("JWT_SECRET", accepted));
        }
        if let Some(admin) = self.default_admin() {
            let known = [admin.username.as_str(), admin.email.as_str()];
            if zxcvbn(admin.password.expose(), &known).score() < Score::Three {
                let accepted = "hard to guess in production: a few uncommon words, at least 8 characters";
                return Err(SettingError::secret("DEFAULT_ADMIN_PASSWORD", accepted));
            }
        }
        Ok(())
    }
}

impl SigningSecrets {
    /// The secrets; the first one signs.
    pub fn iter(&self) -> impl Iterator<Item = &Secret> {
        self.0.iter()
    }
}

/// Words of example secrets that do not occur in random text.
const PLACEHOLDERS: [&str; 6] = ["change", "secret", "example", "password", "default", "1234567"];

fn is_guessable(secret: &Secret) -> bool {
    let text = secret.expose().to_lowercase();
    let distinct: HashSet<char> = text.chars().collect();
    distinct.len() < 10
        || PLACEHOLDERS.iter().any(|word| text.contains(word))
        || zxcvbn(&text, &[]).score() < Score::Four
}

fn signing_secrets(text: &str) -> Result<SigningSecrets, &'static str> {
    let secrets: Vec<&str> = text.split(',').map(str::trim).collect();
    if secrets.iter().any(|secret| secret.len() < MIN_SECRET_BYTES) {
        return Err("at least 32 bytes, or a comma-separated list of such secrets");
    }
    Ok(SigningSecrets(secrets.into_iter().map(|secret| Secret::from(secret.to_owned())).collect()))
}

fn password(text: &str) -> Result<Secret, &'static str> {
    match text.chars().count() {
        8..=128 => Ok(Secret::from(text.to_owned())),
        _ => Err("8 to 128 characters long"),
    }
}

/// Creates the file atomically: of several processes that start concurrently, one writes it and the others read it.
fn generate_secret(data_dir: &Path, path: &Path) -> io::Result<String> {
    fs::create_dir_all(data_dir)?;
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let draft = data_dir.join(format!("{SECRET_FILE}.{}", std::process::id()));
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(URL_SAFE_NO_PAD.encode(random).as_bytes())?;
    file.sync_all()?;
    let linked = fs::hard_link(&draft, path);
    fs::remove_file(&draft)?;
    match linked {
        Err(cause) if cause.kind() != io::ErrorKind::AlreadyExists => Err(cause),
        _ => fs::read_to_string(path),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const STRONG: &str = "kq3vYw0uT9bXh2Lr8sNf5Jd7Pz1Cg6Me";

    fn settings() -> AuthSettings {
        AuthSettings {
            jwt_secret: None,
            access_token_expire_minutes: 15,
            refresh_token_expire_days: 7,
            registration_open: true,
            login_lockout_attempts: 10,
            login_lockout_minutes: 15,
            default_admin_username: None,
            default_admin_email: None,
            default_admin_password: None,
        }
    }

    #[test]
    fn a_secret_is_generated_once_and_readable_by_its_owner_only() {
        let data = tempfile::tempdir().unwrap();
        let data = data.path().join("made/on/the/way");
        let first = settings().signing_secrets(&data).unwrap();
        let again = settings().signing_secrets(&data).unwrap();
        let secret = |secrets: &SigningSecrets| secrets.iter().next().unwrap().expose().to_owned();
        assert_eq!(secret(&first), secret(&again));
        assert!(!is_guessable(&Secret::from(secret(&first))));
        let mode = fs::metadata(data.join(SECRET_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(&data).unwrap().count(), 1, "no draft is left over");
    }

    #[test]
    fn processes_that_start_concurrently_use_the_same_secret() {
        let data = tempfile::tempdir().unwrap();
        let made = generate_secret(data.path(), &data.path().join(SECRET_FILE)).unwrap();
        let late = generate_secret(data.path(), &data.path().join(SECRET_FILE)).unwrap();
        assert_eq!(made, late);
    }

    #[test]
    fn a_damaged_secret_file_is_an_error() {
        let data = tempfile::tempdir().unwrap();
        fs::write(data.path().join(SECRET_FILE), "short").unwrap();
        let cause = settings().signing_secrets(data.path()).unwrap_err();
        assert!(!cause.to_string().contains("short") && cause.to_string().contains(SECRET_FILE), "{cause}");
    }

    #[test]
    fn refuses_short_secrets_in_a_list() {
        let other = STRONG.to_uppercase();
        let secrets = signing_secrets(&format!("{STRONG}, {other}")).unwrap();
        assert_eq!(secrets.iter().map(Secret::expose).collect::<Vec<_>>(), [STRONG, other.as_str()]);
        for bad in ["", "short", &format!("{STRONG},"), &format!("{STRONG},short"), &STRONG[1..]] {
            assert!(signing_secrets(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn production_requires_strong_secrets() {
        let with = |secret: &str| AuthSettings { jwt_secret: Some(signing_secrets(secret).unwrap()), ..settings() };
        assert_eq!(with(STRONG).validate_for_production(), Ok(()));
        assert_eq!(settings().validate_for_production().unwrap_err().variable, "JWT_SECRET");
        for weak in [
            "a".repeat(40),
            "0123456789".repeat(4),
            "your-secret-key-change-in-production".to_owned(),
            "abcabcabcabcabcabcabcabcabcabcabcabc".to_owned(),
            format!("{STRONG},{}", "password".repeat(5)),
        ] {
            let error = with(&weak).validate_for_production().unwrap_err();
            assert_eq!(error.variable, "JWT_SECRET", "{weak}");
            assert!(!error.to_string().contains(&weak), "{error}");
        }
    }

    #[test]
    fn production_requires_a_strong_admin_password() {
        let with = |password: &str| AuthSettings {
            jwt_secret: Some(signing_secrets(STRONG).unwrap()),
            default_admin_username: Some("admin".to_owned()),
            default_admin_email: Some("admin@example.com".to_owned()),
            default_admin_password: Some(Secret::from(password.to_owned())),
            ..settings()
        };
        for weak in ["admin123", "password1", "admin@example.com"] {
            let error = with(weak).validate_for_production().unwrap_err();
            assert_eq!(
                (error.variable.as_str(), error.problem.as_str()),
                ("DEFAULT_ADMIN_PASSWORD", ": [secret] is not accepted"),
                "{weak}"
            );
        }
        assert_eq!(with("velvet otter counts 41 lanterns").validate_for_production(), Ok(()));
    }

    #[test]
    fn the_default_admin_requires_all_three_variables() {
        let mut some = settings();
        some.default_admin_username = Some("admin".to_owned());
        some.default_admin_email = Some("admin@example.com".to_owned());
        assert!(some.default_admin().is_none());
        some.default_admin_password = Some(Secret::from("velvet otter counts".to_owned()));
        assert!(some.default_admin().is_some());
    }
}
