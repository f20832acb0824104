//! Where the API is asked.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueHint};
use url::Url;

use super::{Answer, Client, Lost, Problem, Request, Upload, patiently_if};
use crate::cli::open::DEFAULT_DATA;
use crate::cli::text;
use crate::control_plane::connect_control;

/// The variable of the environment that names the file of the token.
pub(in crate::cli) const TOKEN_FILE_VARIABLE: &str = "CAROM_TOKEN_FILE";

/// How often a request is repeated whose answer was lost.
const REPEATS: usize = 2;

/// How long is waited before.
const REPEAT_PAUSE: Duration = Duration::from_millis(500);

/// Longest file of a token, in bytes.
const TOKEN_FILE_BYTES: u64 = 4 * 1024;

/// Where to ask, as every command that asks the API takes it.
#[derive(Args)]
pub(in crate::cli) struct PlaceArguments {
    /// Ask the server with this admin address, such as http://127.0.0.1:9090
    #[arg(long, value_name = "URL", conflicts_with = "data", value_hint = ValueHint::Url, help_heading = "Where")]
    server: Option<ServerUrl>,
    /// The file that holds the token for --server [default: the one that CAROM_TOKEN_FILE names]
    #[arg(long, value_name = "FILE", requires = "server", conflicts_with = "data", value_hint = ValueHint::FilePath, help_heading = "Where")]
    token_file: Option<PathBuf>,
    /// The data directory; the server that runs on it is asked, and if none does, it is opened
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA, value_hint = ValueHint::DirPath, help_heading = "Where")]
    data: PathBuf,
}

/// What is to be done there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Purpose {
    /// To look: where nothing is, there is nothing to look at.
    Read,
    /// To ask about clicks: the same, and they are opened, too.
    AskClicks,
    /// To change: a data directory that is missing is created.
    Write,
}

impl PlaceArguments {
    /// Whether a running server is asked.
    pub(in crate::cli) fn is_served(&self) -> Result<bool> {
        Ok(self.server.is_some() || connect_control(&self.data)?.is_some())
    }

    /// The data directory.
    pub(in crate::cli) fn data(&self) -> &Path {
        &self.data
    }

    /// Connects, has the work done, and ends in an orderly way also if that fails.
    pub(in crate::cli) fn with<T>(&self, purpose: Purpose, work: impl FnOnce(&mut Client) -> Result<T>) -> Result<T> {
        let mut client = match &self.server {
            Some(url) => Client::of_server(url, self.token()?)?,
            None => Client::of_data(&self.data, purpose)?,
        };
        let done = work(&mut client);
        let closed = client.close();
        let done = done?;
        closed?;
        Ok(done)
    }

    /// The same with a running server: None if none runs on the data directory, which is then not opened.
    pub(in crate::cli) fn with_running<T>(&self, work: impl FnOnce(&mut Client) -> Result<T>) -> Result<Option<T>> {
        let client = match &self.server {
            Some(url) => Some(Client::of_server(url, self.token()?)?),
            None => Client::of_running(&self.data)?,
        };
        let Some(mut client) = client else { return Ok(None) };
        let done = work(&mut client);
        let closed = client.close();
        let done = done?;
        closed?;
        Ok(Some(done))
    }

    /// Asks for something that would be made again if it was asked for again. The request has a name, by which the
    /// server knows it: so if the connection is lost, it is repeated, and still made once.
    pub(in crate::cli) fn ask_once(&self, request: Request) -> Result<Answer> {
        let request = request.named();
        let mut repeats = REPEATS;
        let mut lost = None;
        loop {
            match (self.with(Purpose::Write, |client| client.ask(request.clone())), lost.take()) {
                (Err(error), _) if Lost::is_broken_off(&error) && repeats > 0 => lost = Some(error),
                (Err(error), earlier) if Lost::is_not_sent(&error) && repeats > 0 => lost = earlier,
                // That it can't be asked now says less than that it was asked before.
                (Err(error), Some(lost)) if !error.is::<Problem>() => return Err(lost),
                // Nor does this say what became of it then.
                (Err(error), Some(lost)) if Lost::may_pass(&error) => {
                    // No problem of the API any more: that would be said alone.
                    bail!("{lost}, and it can't be asked again now: {error}");
                }
                (answered, _) => return answered,
            }
            repeats -= 1;
            std::thread::sleep(REPEAT_PAUSE);
        }
    }

    /// Sends lines that `produce` writes on a thread of its own, and has each line of the answer looked at meanwhile;
    /// also after a while, if there are too many requests just now.
    ///
    /// # Errors
    /// What `produce` or `each` gives; a [`Problem`] if the API does not do it; if the lines break off.
    pub(in crate::cli) fn send_lines(
        &self,
        request: &Request,
        produce: impl FnOnce(&mut Upload) -> Result<()> + Send + 'static,
        mut each: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut produce = Some(produce);
        patiently_if(|| {
            let sent = self.with(Purpose::Write, |client| client.send_lines(request, &mut produce, &mut each));
            (sent, produce.is_some())
        })
    }

    fn token(&self) -> Result<String> {
        let from_environment = || std::env::var_os(TOKEN_FILE_VARIABLE).map(PathBuf::from);
        let Some(file) = self.token_file.clone().or_else(from_environment) else {
            bail!(
                "a token is needed to ask a server by its address: name the file that holds it with --token-file or in \
                 {TOKEN_FILE_VARIABLE}. The first token lies in `admin.token` in the server's data directory; on its own \
                 machine, --data DIR needs none"
            );
        };
        read_token(&file).with_context(|| format!("the token can't be read from {}", file.display()))
    }
}

fn read_token(path: &Path) -> Result<String> {
    let file = File::open(path)?;
    let mode = file.metadata()?.mode();
    if mode & 0o077 != 0 {
        text::tell!(
            "carom: WARNING: others than its owner may use {} (mode {:03o}), and so the token in it; `chmod 600` it",
            path.display(),
            mode & 0o777
        );
    }
    let mut content = String::new();
    file.take(TOKEN_FILE_BYTES).read_to_string(&mut content)?;
    let token = content.trim();
    // It is never shown.
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        bail!("it holds no token: one line of visible ASCII characters is expected");
    }
    Ok(token.to_owned())
}

/// The address of a server's API: `http://HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct ServerUrl {
    /// Host and port, as in the field `Host`.
    pub(super) authority: String,
    /// The host, to connect to.
    pub(super) host: String,
    /// The port, to connect to.
    pub(super) port: u16,
}

/// Not the address of a server's API.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::cli) enum ServerUrlError {
    /// TLS.
    #[error(
        "https is not there yet; reach the server through a tunnel, such as `ssh -L 9090:127.0.0.1:9090 HOST`, or a \
         proxy on this machine, and give http://127.0.0.1:9090"
    )]
    Https,
    /// Anything else.
    #[error("give the address that `carom serve --admin` listens on, such as http://127.0.0.1:9090")]
    Other,
}

impl FromStr for ServerUrl {
    type Err = ServerUrlError;

    fn from_str(text: &str) -> Result<Self, ServerUrlError> {
        let url = Url::parse(text).map_err(|_| ServerUrlError::Other)?;
        if url.scheme() == "https" {
            return Err(ServerUrlError::Https);
        }
        let is_plain = url.scheme() == "http"
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        let host = url.host_str().filter(|_| is_plain).ok_or(ServerUrlError::Other)?;
        let port = url.port_or_known_default().ok_or(ServerUrlError::Other)?;
        Ok(ServerUrl { authority: format!("{host}:{port}"), host: host.trim_matches(['[', ']']).to_owned(), port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        let url: ServerUrl = "http://[::1]:9090/".parse().unwrap();
        assert_eq!((url.authority.as_str(), url.host.as_str(), url.port), ("[::1]:9090", "::1", 9090));
        assert_eq!("http://carom.example".parse::<ServerUrl>().unwrap().authority, "carom.example:80");
        assert_eq!("https://carom.example".parse::<ServerUrl>(), Err(ServerUrlError::Https));
        for text in
            ["", "127.0.0.1:9090", "localhost:1", "http://a/v1", "http://a?b", "http://u@a", "ftp://a", "http://a#b"]
        {
            assert_eq!(text.parse::<ServerUrl>(), Err(ServerUrlError::Other), "{text}");
        }
    }
}
