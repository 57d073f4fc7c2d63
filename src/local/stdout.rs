//! A channel that prints: lines for people, or one JSON object a line.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde::Serialize;

use super::{blocking, fault};
use crate::config::Format;
use crate::core::alert::{Alert, Reason};
use crate::core::finding::short;
use crate::core::printable;
use crate::error::{Error, Result};
use crate::seam::Channel;

/// Longest line for people, in bytes; detail quotes what others wrote.
const LONGEST: usize = 1000;

pub struct Stdout {
    format: Format,
    out: Arc<Mutex<dyn Write + Send>>,
}

impl Stdout {
    pub fn new(format: Format) -> Self {
        Self::to(format, io::stdout())
    }

    pub fn to(format: Format, out: impl Write + Send + 'static) -> Self {
        Self { format, out: Arc::new(Mutex::new(out)) }
    }
}

#[async_trait]
impl Channel for Stdout {
    async fn send(&self, key: &str, alert: &Alert) -> Result<Option<String>> {
        let text = match self.format {
            Format::Human => human(alert),
            Format::Json => json(key, alert)?,
        };
        let out = Arc::clone(&self.out);
        blocking("stdout:write", move || {
            let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
            match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
                // nobody reads any more, and that is their right
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(fault("stdout:write", &error)),
                _ => Ok(None),
            }
        })
        .await
    }
}

/// One line, and for the first alert of a finding a second one that says what to do.
fn human(alert: &Alert) -> String {
    let finding = &alert.finding;
    let headline = printable(&alert.headline(), LONGEST);
    let told = match alert.reason {
        Reason::First => String::new(),
        reason => format!("{reason}: "),
    };
    let mut text = format!("{} {told}{headline} [{}]\n", finding.last_seen.strftime("%FT%TZ"), short(&finding.id));
    if alert.reason == Reason::First {
        text.push_str(&format!("    {}\n", alert.action));
    }
    text
}

fn json(key: &str, alert: &Alert) -> Result<String> {
    #[derive(Serialize)]
    struct Line<'a> {
        key: &'a str,
        #[serde(flatten)]
        alert: &'a Alert,
    }
    let line = serde_json::to_string(&Line { key, alert }).map_err(|error| Error::permanent("stdout:write", error))?;
    Ok(line + "\n")
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::core::finding::{Finding, Held, Kind};

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn alert(reason: Reason) -> Alert {
        let last_seen = Timestamp::from_second(1_700_000_000).unwrap();
        let finding = Finding::new(Kind::LogModified, "key", "evil\n\u{1b}[2Jkey").held(last_seen);
        let finding = Held { id: "0123456789ab".into(), ..finding };
        Alert::new(reason, finding, "w")
    }

    async fn printed(format: Format, reason: Reason) -> String {
        let page = Page::default();
        Stdout::to(format, page.clone()).send("k1", &alert(reason)).await.unwrap();
        String::from_utf8(page.0.lock().unwrap().clone()).unwrap()
    }

    #[tokio::test]
    async fn people_get_lines_that_cannot_play_tricks_on_the_terminal() {
        let text = printed(Format::Human, Reason::First).await;
        let lines: Vec<_> = text.lines().collect();
        let want = "2023-11-14T22:13:20Z critical log_modified: evil\\u{a}\\u{1b}[2Jkey [0123456789ab]";
        assert_eq!(lines, [want, &format!("    {}", Kind::LogModified.action())]);
        let text = printed(Format::Human, Reason::Resolved).await;
        assert!(text.contains("Z resolved: critical") && text.lines().count() == 1, "{text}");
    }

    #[tokio::test]
    async fn machines_get_one_object_a_line() {
        let text = printed(Format::Json, Reason::Repeat).await;
        assert_eq!(text.lines().count(), 1);
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&line["key"], &line["reason"]), (&"k1".into(), &"repeat".into()));
        assert_eq!(line["finding"]["detail"], "evil\n\u{1b}[2Jkey");
    }

    #[tokio::test]
    async fn a_closed_pipe_is_success() {
        Stdout::to(Format::Human, Closed).send("k", &alert(Reason::First)).await.unwrap();
    }
}
