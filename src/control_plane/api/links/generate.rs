//! Links for which nobody chose a path.

use super::super::problem::{Kind, Problem};
use super::super::submit::try_change;
use super::super::{Api, Caller};
use super::code::{CODE_ATTEMPTS, Codes, attempt_id};
use crate::engine::{Acknowledged, SubmitError};
use crate::limits::CODE_GUESS_ODDS;
use crate::link::{
    Action, Change, CodeAlphabet, CodeLength, Command, Host, HostSettings, LinkKey, Outcome, Precondition, Refusal,
    SetLink,
};
use crate::log::OperationId;

/// Creates a link with a generated code, and tells its key.
///
/// # Errors
/// 409 if the host has as many codes as its length may have, or what the writer says.
pub(super) async fn create(
    api: &Api,
    caller: &Caller,
    operation: Option<OperationId>,
    host: &Host,
    link: SetLink,
) -> Result<(LinkKey, Acknowledged<Vec<Outcome>>), Problem> {
    let actor = caller.actor();
    let (alphabet, length) = codes_of(api, host);
    let codes = begin(api, operation, host.clone(), alphabet.clone(), length).await?;
    for (attempt, code) in (0..CODE_ATTEMPTS).zip(codes) {
        let key = LinkKey::parse(&match host.as_str() {
            Host::ANY => format!("/{code}"),
            host => format!("http://{host}/{code}"),
        });
        let key = key.expect("a code is a path");
        let command = Command {
            key: key.clone(),
            action: Action::Set(Box::new(link.clone())),
            precondition: Precondition::Absent,
        };
        let operation = operation.map(|operation| attempt_id(operation, attempt));
        match try_change(api, actor.clone(), operation, Change::Links(vec![command])).await {
            Err(SubmitError::Refused(Refusal::Exists { .. })) => {}
            Err(error) => return Err(caller.told(error)),
            Ok(done) => return Ok((key, done)),
        }
    }
    Err(exhausted(host, length, format!("{CODE_ATTEMPTS} codes of {} characters were all taken", length.get())))
}

/// What the codes of a host are made of.
fn codes_of(api: &Api, host: &Host) -> (CodeAlphabet, CodeLength) {
    let tables = api.engine.tables();
    let usual = HostSettings::default();
    let settings = tables.host_or_any(host.as_str().as_bytes()).map_or(&usual, |host| &host.record.settings);
    (settings.effective_alphabet(), settings.code_length)
}

/// The codes to try, if there may be one more.
async fn begin(
    api: &Api,
    operation: Option<OperationId>,
    host: Host,
    alphabet: CodeAlphabet,
    length: CodeLength,
) -> Result<Codes, Problem> {
    let secret = std::sync::Arc::clone(&api.codes);
    api.blocking(move |engine| {
        // What was done is answered again, also when no more could be done.
        let is_repeated = operation.map_or(Ok(false), |operation| engine.knows_operation(operation))?;
        let (found, most) = (engine.generated_codes(&host, length)?, alphabet.capacity(length));
        if found >= most && !is_repeated {
            return Err(exhausted(&host, length, format!("there are {found} codes of {} characters", length.get())));
        }
        let failed = |error: std::io::Error| Problem::internal(&format!("random codes: {error}"));
        match operation {
            None => Codes::random(alphabet, length).map_err(failed),
            Some(operation) => {
                let secret = secret.get(engine.data()).map_err(failed)?;
                Ok(Codes::of_operation(secret, operation, alphabet, length))
            }
        }
    })
    .await
}

fn exhausted(host: &Host, length: CodeLength, found: String) -> Problem {
    let detail = format!(
        "{found} on the host `{host}`; with more, a guess would find one more often than once in {CODE_GUESS_ODDS} times. \
         Raise its code_length above {}, or choose a key",
        length.get()
    );
    Problem::new(Kind::CodesExhausted, detail)
}
