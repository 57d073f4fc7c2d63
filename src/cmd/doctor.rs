//! `doctor`: is the world good; and which policies the warden needs in it.

use clap::ValueEnum;
use serde::Serialize;

use crate::cmd::{Context, Exit, Failure, Outcome, complain, interrupted, plural, print, print_json, style};
use crate::config::Config;
use crate::core::grant::{self, Policy};
use crate::core::printable;
use crate::doctor::{self, Answer, Ask, Line, Report};
use crate::env::Env;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print the least IAM policy that this configuration needs, for one role or for each; asks nothing of AWS
    #[arg(long, value_enum, value_name = "ROLE", num_args = 0..=1, conflicts_with = "role")]
    policy: Option<Option<Role>>,
    /// Look only at what this role needs
    #[arg(long, value_enum)]
    role: Option<Role>,
    /// A KMS key that objects, messages or a topic are encrypted with
    #[arg(long = "key", value_name = "ARN", value_parser = arn_of("kms"))]
    keys: Vec<String>,
    /// The dead-letter queue of a trail's queue
    #[arg(long, value_name = "ARN", value_parser = arn_of("sqs"))]
    dead_letters: Vec<String>,
    /// A topic between a trail's bucket and its queue
    #[arg(long = "topic", value_name = "ARN", value_parser = arn_of("sns"))]
    topics: Vec<String>,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Role {
    /// Whoever the program runs as, where roles are to be assumed
    Process,
    /// Reads deliveries and tells what it finds
    Reader,
    /// Keeps [retention]
    Retention,
    /// Keeps [posture]: looks at what guards the archive, and at trails
    Audit,
}

impl From<Role> for grant::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Process => Self::Process,
            Role::Reader => Self::Reader,
            Role::Retention => Self::Retention,
            Role::Audit => Self::Audit,
        }
    }
}

/// Accepts ARNs of one service, with a region and a resource.
fn arn_of(service: &'static str) -> impl Fn(&str) -> Result<String, String> + Clone {
    move |text| {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        match parts[..] {
            ["arn", partition, named, region, account, resource]
                if named == service
                    && [partition, region, account, resource].iter().all(|part| !part.is_empty())
                    && text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'*' | b'?')) =>
            {
                Ok(text.to_owned())
            }
            _ => Err(format!("not an arn of {service}, like arn:aws:{service}:eu-central-1:111122223333:…")),
        }
    }
}

pub async fn run(context: &Context, args: Args) -> Outcome {
    let config = context.load()?;
    let role = args.role.map(Into::into);
    let ask = Ask { role, keys: args.keys, dead_letters: args.dead_letters, topics: args.topics };
    if let Some(role) = args.policy {
        return policies(&config, &ask, role.map(Into::into));
    }
    let env = Env::system();
    let report = tokio::select! {
        report = doctor::examine(&config, &env, &ask) => report,
        () = interrupted() => return Ok(Exit::Interrupted),
    };
    if args.json {
        print_json(&report)?;
    } else {
        print(&draw(context, &report))?;
    }
    Ok(match report.answer {
        Answer::Bad => Exit::Bad,
        Answer::Unchecked => Exit::Unsure,
        Answer::Ok | Answer::NotApplicable => Exit::Done,
    })
}

/// One role's policy as it is pasted; all of them by their names.
fn policies(config: &Config, ask: &Ask, role: Option<grant::Role>) -> Outcome {
    #[derive(Serialize)]
    struct All {
        #[serde(skip_serializing_if = "Option::is_none")]
        process: Option<Policy>,
        #[serde(skip_serializing_if = "Option::is_none")]
        reader: Option<Policy>,
        #[serde(skip_serializing_if = "Option::is_none")]
        retention: Option<Policy>,
        #[serde(skip_serializing_if = "Option::is_none")]
        audit: Option<Policy>,
    }
    let site = doctor::site(config, ask);
    if ask.keys.is_empty() && !site.resources.is_empty() {
        complain("note: where KMS encrypts buckets, queues or topics, name the keys with --key ARN");
    }
    match role {
        Some(role) => {
            let none = || Failure::Usage(format!("nothing in this configuration needs a {} policy", role.name()));
            print_json(&site.policy(role).ok_or_else(none)?)?;
        }
        None => {
            let [process, reader, retention, audit] = grant::Role::ALL.map(|role| site.policy(role));
            print_json(&All { process, reader, retention, audit })?;
        }
    }
    Ok(Exit::Done)
}

fn draw(context: &Context, report: &Report) -> String {
    let width = report.lines.iter().map(|line| line.name.len()).max().unwrap_or_default();
    let mut text = String::new();
    for role in grant::Role::ALL {
        let lines: Vec<&Line> = report.lines.iter().filter(|line| line.role == role).collect();
        if lines.is_empty() {
            continue;
        }
        text.push_str(&format!("{}\n", context.paint(style::STRONG, role.name())));
        for line in lines {
            tell(context, line, width, &mut text);
        }
    }
    let count = |answer| report.lines.iter().filter(|line| line.answer == answer).count() as u64;
    text.push_str(&format!(
        "{} ok, {} bad, {} could not be checked\n",
        count(Answer::Ok),
        count(Answer::Bad),
        count(Answer::Unchecked)
    ));
    if count(Answer::Bad) > 0 {
        let lines = plural(count(Answer::Bad), "line");
        text.push_str(&format!("{lines} marked bad: each says what stops, and what to paste\n"));
    }
    text
}

fn tell(context: &Context, line: &Line, width: usize, text: &mut String) {
    let (word, paint) = match line.answer {
        Answer::Ok => ("ok", style::GOOD),
        Answer::Bad => ("bad", style::BAD),
        Answer::Unchecked => ("could not check", style::WARN),
        Answer::NotApplicable => ("not applicable", style::DIM),
    };
    let (word, name) = (context.paint(paint, format!("{word:<15}")), &line.name);
    text.push_str(&format!("  {word}  {name:<width$}  {}\n", printable(&line.on, 300)));
    let mut more = |what: &str, told: &str| {
        let told = told.replace('\n', "\n          ");
        text.push_str(&format!("      {what}{told}\n"));
    };
    if let Some(why) = &line.why {
        more("", &printable(why, 600));
    }
    if let Some(without) = &line.without {
        more("until then: ", without);
    }
    if let Some(statement) = &line.statement {
        more("add: ", &serde_json::to_string_pretty(statement).unwrap_or_default());
    }
    if let Some(remedy) = &line.remedy {
        more("do: ", remedy);
    }
}
