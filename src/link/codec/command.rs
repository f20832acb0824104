//! Commands to links.

use prost::{Message, Oneof};

use super::link::{DestinationMessage, PatchMessage, SetLinkMessage};
use super::{DecodeError, required};
use crate::link::command::{Action, Chains, Command, Precondition};
use crate::link::key::LinkKey;

#[derive(Message)]
pub(super) struct CommandMessage {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(oneof = "ActionMessage", tags = "2, 3, 6, 7")]
    action: Option<ActionMessage>,
    #[prost(oneof = "PreconditionMessage", tags = "4, 5, 8")]
    precondition: Option<PreconditionMessage>,
}

#[derive(Oneof)]
enum ActionMessage {
    #[prost(message, tag = "2")]
    Put(DestinationMessage),
    #[prost(bool, tag = "3")]
    Delete(bool),
    #[prost(message, tag = "6")]
    Set(Box<SetLinkMessage>),
    #[prost(message, tag = "7")]
    Patch(Box<PatchMessage>),
}

#[derive(Oneof)]
pub(super) enum PreconditionMessage {
    #[prost(bool, tag = "4")]
    Absent(bool),
    #[prost(uint64, tag = "5")]
    Version(u64),
    #[prost(bool, tag = "8")]
    Present(bool),
}

pub(super) fn precondition_to_message(precondition: Precondition) -> Option<PreconditionMessage> {
    match precondition {
        Precondition::None => None,
        Precondition::Absent => Some(PreconditionMessage::Absent(true)),
        Precondition::Present => Some(PreconditionMessage::Present(true)),
        Precondition::Version(version) => Some(PreconditionMessage::Version(version)),
    }
}

pub(super) fn precondition_from_message(message: Option<PreconditionMessage>) -> Result<Precondition, DecodeError> {
    match message {
        None => Ok(Precondition::None),
        Some(PreconditionMessage::Absent(true)) => Ok(Precondition::Absent),
        Some(PreconditionMessage::Present(true)) => Ok(Precondition::Present),
        Some(PreconditionMessage::Absent(false)) => Err(DecodeError::Invalid("absent", "false".to_owned())),
        Some(PreconditionMessage::Present(false)) => Err(DecodeError::Invalid("present", "false".to_owned())),
        Some(PreconditionMessage::Version(version)) => Ok(Precondition::Version(version)),
    }
}

/// Chains as they are encoded: their place in [`Chains::ALL`].
pub(super) fn chains_to_number(chains: Chains) -> u32 {
    Chains::ALL.iter().position(|choice| *choice == chains).expect("all are there") as u32
}

pub(super) fn chains_from_number(number: u32) -> Result<Chains, DecodeError> {
    Chains::ALL.get(number as usize).copied().ok_or_else(|| DecodeError::Invalid("chains", number.to_string()))
}

impl From<&Command> for CommandMessage {
    fn from(command: &Command) -> Self {
        CommandMessage {
            key: command.key.as_str().to_owned(),
            action: Some(match &command.action {
                Action::Put(destination) => ActionMessage::Put(destination.into()),
                Action::Set(set) => ActionMessage::Set(Box::new((&**set).into())),
                Action::Patch(patch, chains) => ActionMessage::Patch(Box::new(PatchMessage::new(patch, *chains))),
                Action::Delete => ActionMessage::Delete(true),
            }),
            precondition: precondition_to_message(command.precondition),
        }
    }
}

impl TryFrom<CommandMessage> for Command {
    type Error = DecodeError;

    fn try_from(message: CommandMessage) -> Result<Self, DecodeError> {
        Ok(Command {
            key: LinkKey::from_canonical(&message.key).ok_or(DecodeError::Invalid("key", message.key))?,
            action: match required(message.action, "action")? {
                ActionMessage::Put(destination) => Action::Put(destination.try_into()?),
                ActionMessage::Set(set) => Action::Set(Box::new((*set).try_into()?)),
                ActionMessage::Patch(patch) => {
                    let (patch, chains) = patch.read()?;
                    Action::Patch(Box::new(patch), chains)
                }
                ActionMessage::Delete(true) => Action::Delete,
                ActionMessage::Delete(false) => return Err(DecodeError::Invalid("delete", "false".to_owned())),
            },
            precondition: precondition_from_message(message.precondition)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_precondition_that_is_false_is_refused() {
        let command = |precondition| CommandMessage {
            key: "*/a".to_owned(),
            action: Some(ActionMessage::Delete(true)),
            precondition: Some(precondition),
        };
        let read = |precondition| Command::try_from(command(precondition));
        assert_eq!(read(PreconditionMessage::Absent(true)).unwrap().precondition, Precondition::Absent);
        assert_eq!(read(PreconditionMessage::Present(true)).unwrap().precondition, Precondition::Present);
        assert!(matches!(read(PreconditionMessage::Absent(false)), Err(DecodeError::Invalid("absent", _))));
        assert!(matches!(read(PreconditionMessage::Present(false)), Err(DecodeError::Invalid("present", _))));
    }
}
