//! Which answers end the use of a connection.

use redis::{RedisError, ServerError, Value};

/// What a server answers that is not the primary, or no longer is: it takes no writes, has lost its own primary, or has
/// ended a blocking command when it became a replica.
const NOT_PRIMARY: [&str; 4] = ["READONLY", "MASTERDOWN", "UNBLOCKED", "NOREPLICAS"];

/// Whether the connection that met `error` is of no use any more.
pub(super) fn breaks(error: &RedisError) -> bool {
    match error.clone().into_server_errors() {
        Some(answers) => answers.iter().any(|(_, answer)| is_not_primary(answer)),
        None => error.is_unrecoverable_error() || error.is_io_error(),
    }
}

/// Whether one of `answers` says that the connection leads to the wrong server.
pub(super) fn break_in(answers: &[Value]) -> bool {
    answers.iter().any(|answer| matches!(answer, Value::ServerError(error) if is_not_primary(error)))
}

fn is_not_primary(answer: &ServerError) -> bool {
    // Before Redis 7 a script wraps the answer of its command.
    NOT_PRIMARY.contains(&answer.code()) || answer.details().is_some_and(|detail| detail.contains("-READONLY "))
}

/// No answer in time.
pub(super) fn late(what: &str) -> RedisError {
    std::io::Error::new(std::io::ErrorKind::TimedOut, format!("no answer of Redis in time ({what})")).into()
}

#[cfg(test)]
mod tests {
    use redis::parse_redis_value;

    use super::*;

    fn answer(text: &str) -> Value {
        parse_redis_value(format!("-{text}\r\n").as_bytes()).unwrap()
    }

    #[test]
    fn a_server_that_is_not_the_primary_breaks_its_connection() {
        for text in [
            "READONLY You can't write against a read only replica.",
            "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
            "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
            "NOREPLICAS Not enough good replicas to write.",
            "ERR Error running script (call to f_1): @user_script:1: -READONLY You can't write against a read only replica.",
        ] {
            assert!(break_in(&[Value::Okay, answer(text)]), "{text}");
            assert!(breaks(&answer(text).extract_error().unwrap_err()), "{text}");
        }
    }

    #[test]
    fn an_answer_about_the_command_leaves_the_connection_alone() {
        for text in
            ["WRONGTYPE Operation against a key", "OOM command not allowed", "NOSCRIPT No matching script.", "ERR x"]
        {
            assert!(!break_in(&[answer(text)]), "{text}");
            assert!(!breaks(&answer(text).extract_error().unwrap_err()), "{text}");
        }
    }

    #[test]
    fn silence_and_a_broken_pipe_break_it() {
        assert!(breaks(&late("GET")));
        for kind in
            [std::io::ErrorKind::BrokenPipe, std::io::ErrorKind::ConnectionReset, std::io::ErrorKind::UnexpectedEof]
        {
            assert!(breaks(&std::io::Error::from(kind).into()), "{kind}");
        }
    }
}
