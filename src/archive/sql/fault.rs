//! Why a question has no answer, in words for whoever asked it.

use datafusion::common::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;

use crate::core::printable;
use crate::error::Error;

/// What it says when what it wrote to the disk is more than it may write.
const FULL: &str = "disk space during the spilling process has exceeded";
/// Where the engine keeps what is registered.
const OURS: &str = "datafusion.public.";
/// Bytes of what the engine says that are passed on.
const LONG: usize = 500;

#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The question is none that can be asked.
    #[error("{0}")]
    Usage(String),
    /// It needs more memory than it may take.
    #[error("{0}")]
    Memory(String),
    /// It needs more room on the disk than it may take.
    #[error("{0}")]
    Disk(String),
    /// What it is about could not be read.
    #[error("{0}")]
    Read(Error),
}

impl From<DataFusionError> for Fault {
    fn from(error: DataFusionError) -> Self {
        let place = place(&error);
        if error.to_string().contains(FULL) {
            return full();
        }
        // also where several parts of the engine share the error
        match error.find_root() {
            DataFusionError::ResourcesExhausted(text) => return exhausted(text),
            DataFusionError::External(inner) => {
                if let Some(error) = inner.downcast_ref::<Error>() {
                    return Self::Read(error.clone());
                }
            }
            _ => {}
        }
        match error {
            DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => Self::from(*inner).at(place),
            DataFusionError::Shared(inner) => match std::sync::Arc::try_unwrap(inner) {
                Ok(inner) => Self::from(inner),
                Err(shared) => Self::Usage(said(&shared.strip_backtrace())),
            },
            DataFusionError::SQL(error, _) => Self::Usage(match *error {
                ParserError::ParserError(text) | ParserError::TokenizerError(text) => said(&text),
                ParserError::RecursionLimitExceeded => "the question nests too deeply".into(),
            }),
            DataFusionError::External(inner) => Self::Read(Error::permanent("query", said(&inner.to_string()))),
            DataFusionError::ParquetError(error) => match *error {
                datafusion::parquet::errors::ParquetError::External(inner) => match inner.downcast::<Error>() {
                    Ok(error) => Self::Read(*error),
                    Err(other) => Self::Read(Error::permanent("query", said(&other.to_string()))),
                },
                other => Self::Read(Error::permanent("query", said(&other.to_string()))),
            },
            DataFusionError::IoError(error) => Self::Read(crate::local::fault("query", &error)),
            DataFusionError::ExecutionJoin(error) => Self::broken(&error.to_string()),
            DataFusionError::Internal(text) => Self::broken(&text),
            DataFusionError::NotImplemented(text) => Self::Usage(format!("that is not supported: {}", said(&text))),
            other => Self::Usage(said(&other.strip_backtrace())),
        }
    }
}

impl Fault {
    /// The engine's own fault.
    pub fn broken(text: &str) -> Self {
        Self::Read(Error::permanent("query", format!("the engine failed, which is its fault or ours: {}", said(text))))
    }

    fn at(self, place: Option<String>) -> Self {
        match (self, place) {
            (Self::Usage(text), Some(place)) if !text.contains(" at line ") => Self::Usage(format!("{text}{place}")),
            (fault, _) => fault,
        }
    }
}

/// Where in the question, as far as the engine knows.
fn place(error: &DataFusionError) -> Option<String> {
    let DataFusionError::Diagnostic(diagnostic, _) = error else { return None };
    let start = diagnostic.span?.start;
    Some(format!(" at line {}, column {}", start.line, start.column))
}

/// The engine's words without its ceremony.
pub fn said(text: &str) -> String {
    let text = text.split("\n\nbacktrace:").next().unwrap_or_default();
    let text = text.split("Valid fields are ").next().unwrap_or_default();
    let mut text = text.split_whitespace().collect::<Vec<_>>().join(" ").replace(OURS, "");
    for before in ["Error during planning: ", "Schema error: ", "SQL error: ", "Execution error: ", "Arrow error: "] {
        text = text.replace(before, "");
    }
    let text = text.replace(" at Line: ", " at line ").replace(", Column: ", ", column ");
    printable(text.trim().trim_end_matches('.'), LONG)
}

fn full() -> Fault {
    Fault::Disk(
        "the question needs more room on the disk than --spill allows: ask of a shorter time, or for fewer columns"
            .into(),
    )
}

fn exhausted(text: &str) -> Fault {
    if text.contains(FULL) {
        return full();
    }
    Fault::Memory(format!(
        "the question needs more memory than --memory allows, and cannot go on on the disk: ask of a shorter time, for fewer \
         columns or with a LIMIT, or allow more ({})",
        said(text)
    ))
}
