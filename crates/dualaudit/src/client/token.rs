//! Who asks: a bearer token (RFC 6750), which is never shown.

use std::{fmt, fs, path::PathBuf, sync::Arc};

use futures::future::BoxFuture;
use reqwest::header::HeaderValue;

/// The most bytes of a token. Those of Kubernetes have one or two thousand.
const TOKEN_BYTES: u64 = 64 << 10;

/// Where a token comes from. It is asked for before each request, as tokens are renewed.
#[derive(Clone)]
pub struct Token(Source);

#[derive(Clone)]
enum Source {
    Text(HeaderValue),
    File(PathBuf),
    Asked(Arc<Ask>),
}

/// What says an `Authorization` header.
type Ask = dyn Fn() -> BoxFuture<'static, Result<HeaderValue, String>> + Send + Sync;

impl Token {
    /// This one.
    ///
    /// # Errors
    /// That it is none, without repeating it.
    pub fn text(token: &str) -> Result<Self, String> {
        Ok(Self(Source::Text(header(token)?)))
    }

    /// What a file holds at the time, such as one that Kubernetes projects and renews.
    pub fn file(path: PathBuf) -> Self {
        Self(Source::File(path))
    }

    /// What somebody answers who is asked for the value of an `Authorization` header, or says why there is none.
    pub fn asked(
        ask: impl Fn() -> BoxFuture<'static, Result<HeaderValue, String>> + Send + Sync + 'static,
    ) -> Self {
        Self(Source::Asked(Arc::new(ask)))
    }

    /// The `Authorization` header at present.
    pub(crate) async fn header(&self) -> Result<HeaderValue, String> {
        match &self.0 {
            Source::Text(value) => Ok(value.clone()),
            Source::File(path) => {
                let wrong = |why: &dyn fmt::Display| format!("the token in {}: {why}", path.display());
                let is_small = fs::metadata(path).map_err(|error| wrong(&error))?.len() <= TOKEN_BYTES;
                if !is_small {
                    return Err(wrong(&"the file is too large to be one"));
                }
                let text = fs::read_to_string(path).map_err(|error| wrong(&error))?;
                header(&text).map_err(|error| wrong(&error))
            }
            Source::Asked(ask) => ask().await,
        }
    }
}

/// Nothing of the token.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Text(_) => f.write_str("Token(text)"),
            Source::File(path) => write!(f, "Token({})", path.display()),
            Source::Asked(_) => f.write_str("Token(asked for)"),
        }
    }
}

fn header(token: &str) -> Result<HeaderValue, String> {
    let token = token.trim();
    let is_one = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    let value = HeaderValue::try_from(format!("Bearer {token}")).ok().filter(|_| is_one);
    let mut value = value.ok_or_else(|| "it is no bearer token: one word of visible ASCII".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_is_read_at_each_request_and_no_token_is_shown() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        let token = Token::file(file.clone());
        for text in ["hunter2", "hunter3\n"] {
            fs::write(&file, text).unwrap();
            let header = token.header().await.unwrap();
            assert_eq!(header.to_str().unwrap(), format!("Bearer {}", text.trim()));
            assert!(header.is_sensitive() && !format!("{header:?}").contains("hunter"), "{header:?}");
        }
        for text in ["", "hunter2 hunter3", "hunter\u{7}", &"hunter".repeat(20_000)] {
            fs::write(&file, text).unwrap();
            let error = token.header().await.unwrap_err();
            assert!(error.contains("token: ") && !error.contains("hunter"), "{error}");
        }
        fs::remove_file(&file).unwrap();
        assert!(token.header().await.unwrap_err().contains("No such file"));
        let text = Token::text("hunter2").unwrap();
        assert_eq!(text.header().await.unwrap(), "Bearer hunter2");
        assert!(!format!("{text:?} {:?}", Token::text("hunter 2")).contains("hunter"));
    }
}
