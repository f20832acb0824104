//! Links for which nobody chose a path.

use super::super::problem::{Kind, Problem};
use super::super::submit::try_change;
use super::super::{Api, Caller};
use super::asked::{Asked, refused};
use super::code::{CODE_ATTEMPTS, Codes, attempt_id};
use crate::engine::SubmitError;
use crate::link::{
    Action, Change, CodeAlphabet, CodeLength, Command, Host, HostSettings, LinkKey, Outcome, Precondition, Refusal,
    SetLink,
};
use crate::log::OperationId;

/// Creates a link with a generated code, and tells its key.
///
/// # Errors
/// 409 if no code was free, or what the writer says.
pub(super) async fn create(
    api: &Api,
    caller: &Caller,
    operation: Option<OperationId>,
    host: &Host,
    link: SetLink,
) -> Result<(Asked, Outcome), Problem> {
    let actor = caller.actor();
    let (alphabet, length) = codes_of(api, host);
    let codes = draw(api, operation, alphabet, length).await?;
    for (attempt, code) in (0..CODE_ATTEMPTS).zip(codes) {
        let key = LinkKey::parse(&match host.as_str() {
            Host::ANY => format!("/{code}"),
            host => format!("http://{host}/{code}"),
        });
        let key = key.expect("a code is a path");
        let command = Command { key, action: Action::Set(Box::new(link.clone())), precondition: Precondition::Absent };
        let operation = operation.map(|operation| attempt_id(operation, attempt));
        let asked = Asked::now(command.clone(), operation);
        match try_change(api, actor.clone(), operation, Change::Links(vec![command])).await {
            Err(SubmitError::Refused(Refusal::Exists { .. }, _)) => {}
            Err(error) => {
                return Err(refused(&api.engine.tables(), caller, &asked.command, error, Precondition::None));
            }
            Ok(done) => return Ok((asked, done.outcome[0])),
        }
    }
    let length = length.get();
    let detail = format!(
        "{CODE_ATTEMPTS} random codes of {length} characters were all taken by other links of the host `{host}`. Try again, \
         raise its code_length above {length}, or choose a key"
    );
    Err(Problem::new(Kind::CodesExhausted, detail))
}

/// What the codes of a host are made of.
fn codes_of(api: &Api, host: &Host) -> (CodeAlphabet, CodeLength) {
    let tables = api.engine.tables();
    let usual = HostSettings::default();
    let settings = tables.host_or_any(host.as_str().as_bytes()).map_or(&usual, |host| &host.record.settings);
    (settings.effective_alphabet(), settings.code_length)
}

/// The codes to try.
async fn draw(
    api: &Api,
    operation: Option<OperationId>,
    alphabet: CodeAlphabet,
    length: CodeLength,
) -> Result<Codes, Problem> {
    let failed = |error: std::io::Error| Problem::internal(&format!("random codes: {error}"));
    let Some(operation) = operation else { return Codes::random(alphabet, length).map_err(failed) };
    let secret = std::sync::Arc::clone(&api.codes);
    api.blocking(move |engine| {
        let secret = secret.get(engine.data()).map_err(failed)?;
        Ok::<_, Problem>(Codes::of_operation(secret, operation, alphabet, length))
    })
    .await
}
