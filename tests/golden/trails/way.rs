//! The way from the bucket to the queue.

use super::*;

pub(super) fn of_the_way() -> Vec<Case> {
    let listens = || Known::Value(vec![QUEUE.to_owned()]);
    let created = ["s3:ObjectCreated:Put"];
    vec![
        ("through a topic", Ground::by_topic(listens()), &[], &[]),
        (
            "through a topic to which nobody listens",
            Ground::by_topic(Known::Value(vec![DEAD.into()])),
            &["path_missing high"],
            &[],
        ),
        (
            "through a topic of which nothing is known",
            Ground::by_topic(Known::Unread("sns:ListSubscriptionsByTopic: no".into())),
            &[],
            &["announcements"],
        ),
        ("through the trail's topic", Ground::by_trail(listens()), &["removals_unannounced low"], &[]),
        ("the trail's topic leads elsewhere", Ground::by_trail(Known::Value(vec![])), &["path_missing high"], &[]),
        (
            "trails and their topics are not known",
            Ground::with(|ground| {
                (ground.trails, ground.path.notification) =
                    (None, notification(&entry("QueueConfiguration", "Queue", DEAD, &ALL, "")));
                ground.silent = vec![silent("")];
            }),
            &[],
            &["trails", "announcements"],
        ),
        ("through a rule", Ground::by_rule(), &[], &["announcements"]),
        (
            "EventBridge, and no rule that may send",
            Ground::announced(notification("<EventBridgeConfiguration/>")),
            &["path_missing high"],
            &[],
        ),
        (
            "to another queue",
            Ground::announced(notification(&entry("QueueConfiguration", "Queue", DEAD, &ALL, ""))),
            &["path_missing high"],
            &[],
        ),
        // That nothing at all is announced is told of the bucket.
        ("nothing is announced", Ground::announced(Fact::Absent), &[], &[]),
        (
            "notification unread",
            Ground::announced(Fact::Unread("s3:GetBucketNotification: no".into())),
            &[],
            &["announcements"],
        ),
        ("notification makes no sense", Ground::announced(Fact::Value("<a>".into())), &[], &["announcements"]),
        (
            "only copies",
            Ground::announced(to_queue(&["s3:ObjectCreated:Copy", ALL[1]], "")),
            &["path_filtered high"],
            &[],
        ),
        (
            "another prefix is announced",
            Ground::announced(to_queue(&ALL, &filter("Prefix", "other/"))),
            &["path_filtered high"],
            &[],
        ),
        (
            "only logs of one account are announced",
            Ground::announced(to_queue(&ALL, &filter("prefix", "AWSLogs/111122223333/"))),
            &["path_filtered high"],
            &[],
        ),
        (
            "only texts are announced",
            Ground::announced(to_queue(&ALL, &filter("suffix", ".txt"))),
            &["path_filtered high"],
            &[],
        ),
        (
            "the archive's prefix is announced",
            Ground::with(|ground| {
                ground.archive.prefixes = vec!["a b/AWSLogs/".into()];
                ground.trails.as_mut().unwrap()[0].prefix = Some("a b".into());
                ground.path.notification = to_queue(&ALL, &filter("prefix", "a+b/"));
            }),
            &[],
            &[],
        ),
        ("gzip is announced", Ground::announced(to_queue(&ALL, &filter("suffix", ".gz"))), &[], &[]),
        (
            "a part and the whole are announced",
            Ground::announced(notification(
                &(entry("QueueConfiguration", "Queue", QUEUE, &ALL, &filter("prefix", "x"))
                    + &entry("QueueConfiguration", "Queue", QUEUE, &ALL, "")),
            )),
            &[],
            &[],
        ),
        ("removals are not announced", Ground::announced(to_queue(&created, "")), &["removals_unannounced low"], &[]),
        ("no queue", Ground::with(|ground| ground.path.queue = Known::Value(None)), &["queue_gone high"], &[]),
        (
            "queue unread",
            Ground::with(|ground| ground.path.queue = Known::Unread("sqs:GetQueueAttributes: no".into())),
            &[],
            &["queue"],
        ),
        (
            "AWS's own key",
            Ground::queue(|queue| queue.key = Some("alias/aws/sqs".into())),
            &["queue_key_managed high"],
            &[],
        ),
        ("a key of ours", Ground::queue(|queue| queue.key = Some("alias/queue".into())), &[], &[]),
        (
            "an hour",
            Ground::queue(|queue| queue.retention = Some(Duration::from_secs(3_600))),
            &["queue_retention_short medium"],
            &[],
        ),
        ("no dead-letter queue", Ground::queue(|queue| queue.redrive = None), &[], &[]),
        (
            "the dead-letter queue is gone",
            Ground::queue(|queue| queue.redrive.as_mut().unwrap().exists = Some(false)),
            &["redrive_gone medium"],
            &[],
        ),
        (
            "nobody knows of the dead-letter queue",
            Ground::queue(|queue| queue.redrive.as_mut().unwrap().exists = None),
            &[],
            &["queue"],
        ),
        (
            "three receives",
            Ground::queue(|queue| queue.redrive.as_mut().unwrap().after = 3),
            &["redrive_tight medium"],
            &[],
        ),
        ("no policy", Ground::queue(|queue| queue.policy = None), &["queue_send_missing high"], &[]),
        (
            "somebody else's bucket may send",
            Ground::queue(|queue| queue.policy = Some(policy("s3", "arn:aws:s3:::other"))),
            &["queue_send_missing high"],
            &[],
        ),
        (
            "everybody may send",
            Ground::queue(|queue| {
                queue.policy = Some(
                    r#"{"Statement":[{"Effect":"Allow","Principal":"*","Action":"sqs:SendMessage","Resource":"*"}]}"#
                        .into(),
                )
            }),
            &["queue_public high"],
            &[],
        ),
        (
            "a directory",
            Ground::queue(|queue| *queue = Settings { arn: "file:///srv/spool".into(), ..Settings::default() }),
            &["path_missing high"],
            &[],
        ),
    ]
}
