//! The conversation of the prompt: lines become statements or commands, and an error ends neither.
//!
//! Where lines come from is behind [`Lines`]; `line_editor` reads them from a terminal.

use clap::ValueEnum;

use super::Asking;
use crate::failure::Failure;
use crate::interrupt;
use crate::output::Format;
use crate::terminal::Terminal;

/// What stands before the first line of a statement.
const PROMPT: &str = "pelton> ";

/// What stands before its further lines.
const PROMPT_WITHIN: &str = "   ...> ";

/// What `.help` prints.
const HELP: &str = "\
A statement ends with a semicolon, and may have several lines.
  .tables           the tables
  .schema [TABLE]   the columns of a table, or of all
  .format NAME      how results are written: table, csv, json, ndjson or canonical
  .timer on|off     whether to tell how long a statement took
  .help             this
  .quit             leave, as Ctrl-D does
Ctrl-C drops what was entered, or cancels the query that runs.
";

/// The commands, for their completion.
pub(super) const COMMANDS: [&str; 6] =
    [".tables", ".schema", ".format", ".timer", ".help", ".quit"];

/// What somebody entered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    /// A line, without its end.
    Text(String),
    /// Ctrl-C: the lines so far do not count.
    Dropped,
    /// Ctrl-D, or the end of what is read.
    End,
}

/// Where lines come from.
pub(super) trait Lines {
    /// Waits for the next line.
    fn next(&mut self, prompt: &str) -> Result<Line, Failure>;

    /// Keeps a statement or a command, to be entered again.
    fn remember(&mut self, entry: &str);
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    /// Statements, with semicolons.
    Statements(String),
    /// A command that is none of SQL.
    Command(Command),
}

/// The commands that are answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    Tables,
    Schema(Option<String>),
    Format(Format),
    Timer(bool),
    Help,
    Quit,
}

/// Asks for lines, and has what they say answered, until somebody leaves.
pub(super) fn converse(
    lines: &mut dyn Lines,
    terminal: Terminal,
    mut answer: impl FnMut(&Entry) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut text = String::new();
    loop {
        interrupt::forget();
        let prompt = if text.is_empty() {
            PROMPT
        } else {
            PROMPT_WITHIN
        };
        let line = match lines.next(prompt)? {
            Line::Text(line) => line,
            Line::Dropped => {
                text.clear();
                continue;
            }
            Line::End => return Ok(()),
        };
        let begun = !text.is_empty();
        if !begun && line.trim().is_empty() {
            continue;
        }
        let entry = if !begun && line.trim_start().starts_with('.') {
            lines.remember(line.trim());
            command(&line).map(Entry::Command)
        } else {
            text.push_str(&line);
            text.push('\n');
            if !pelton_sql::ends_statement(&text) {
                continue;
            }
            lines.remember(text.trim());
            Ok(Entry::Statements(std::mem::take(&mut text)))
        };
        if entry
            .as_ref()
            .is_ok_and(|entry| *entry == Entry::Command(Command::Quit))
        {
            return Ok(());
        }
        match entry.and_then(|entry| answer(&entry)) {
            Ok(()) => {}
            Err(Failure::ReaderGone) => return Ok(()),
            Err(failure) => {
                let _exit = failure.tell(terminal);
            }
        }
    }
}

/// The command of a line.
fn command(line: &str) -> Result<Command, Failure> {
    let mut words = line.trim().trim_end_matches(';').split_whitespace();
    let name = words.next().unwrap_or_default();
    let (operand, rest) = (words.next(), words.next());
    let wrong = |what: &str| Failure::new(format_args!("{name} {what}; .help says how"));
    if rest.is_some() {
        return Err(wrong("has too many words"));
    }
    Ok(match (name, operand) {
        (".tables", None) => Command::Tables,
        (".schema", table) => Command::Schema(table.map(str::to_string)),
        (".format", Some(format)) => {
            let format = Format::from_str(format, true);
            Command::Format(format.map_err(|_| wrong("has no such format"))?)
        }
        (".timer", Some("on")) => Command::Timer(true),
        (".timer", Some("off")) => Command::Timer(false),
        (".help", None) => Command::Help,
        (".quit" | ".exit", None) => Command::Quit,
        (known, _) if COMMANDS.contains(&known) => {
            return Err(wrong("does not go with these words"));
        }
        _ => return Err(wrong("is no command")),
    })
}

/// Answers what was entered.
///
/// # Errors
/// As [`Asking::run`].
pub(super) fn answer(asking: &mut Asking, entry: &Entry) -> Result<(), Failure> {
    match entry {
        Entry::Statements(text) => asking.run(text),
        Entry::Command(Command::Tables) => asking.tables(),
        Entry::Command(Command::Schema(table)) => asking.schema(table.as_deref()),
        Entry::Command(Command::Format(format)) => {
            asking.globals.format = Some(*format);
            Ok(())
        }
        Entry::Command(Command::Timer(on)) => {
            asking.timer = *on;
            Ok(())
        }
        Entry::Command(Command::Help) => crate::output::text(HELP),
        Entry::Command(Command::Quit) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::Verbosity;

    /// Lines that are there before.
    struct Script {
        lines: std::vec::IntoIter<Line>,
        prompts: Vec<String>,
        history: Vec<String>,
    }

    impl Lines for Script {
        fn next(&mut self, prompt: &str) -> Result<Line, Failure> {
            self.prompts.push(prompt.to_string());
            Ok(self.lines.next().unwrap_or(Line::End))
        }

        fn remember(&mut self, entry: &str) {
            self.history.push(entry.to_string());
        }
    }

    /// What is answered of some lines, and the script after them; every answer but that to a statement
    /// `fine;` is an error.
    fn answered(lines: impl Into<Vec<Line>>) -> (Vec<Entry>, Script) {
        let mut script = Script {
            lines: lines.into().into_iter(),
            prompts: Vec::new(),
            history: Vec::new(),
        };
        let mut entries = Vec::new();
        let outcome = converse(&mut script, Terminal::new(Verbosity::Quiet), |entry| {
            entries.push(entry.clone());
            match entry {
                Entry::Statements(text) if text == "fine;\n" => Ok(()),
                _ => Err(Failure::Quiet(crate::failure::Exit::Failed)),
            }
        });
        assert!(outcome.is_ok(), "{outcome:?}");
        (entries, script)
    }

    fn text(line: &str) -> Line {
        Line::Text(line.to_string())
    }

    fn statements(text: &str) -> Entry {
        Entry::Statements(text.to_string())
    }

    #[test]
    fn statements_end_with_a_semicolon_and_not_with_a_line() {
        let lines = ["", "SELECT ';", "' -- ;", ".tables", "; -- done", "fine;"].map(text);
        let (entries, script) = answered(lines);
        let long = "SELECT ';\n' -- ;\n.tables\n; -- done";
        assert_eq!(
            entries,
            [statements(&format!("{long}\n")), statements("fine;\n")]
        );
        assert_eq!(script.history, [long, "fine;"]);
        let within = [
            PROMPT,
            PROMPT,
            PROMPT_WITHIN,
            PROMPT_WITHIN,
            PROMPT_WITHIN,
            PROMPT,
            PROMPT,
        ];
        assert_eq!(script.prompts, within);
    }

    #[test]
    fn an_error_ends_no_conversation() {
        let lines = [
            text("wrong;"),
            text(".nonsense"),
            text(".timer maybe"),
            text("fine;"),
        ];
        let (entries, script) = answered(lines);
        assert_eq!(entries, [statements("wrong;\n"), statements("fine;\n")]);
        assert_eq!(script.history.len(), 4);
    }

    #[test]
    fn what_is_dropped_is_not_answered() {
        let lines = [
            text("SELECT 1,"),
            Line::Dropped,
            Line::Dropped,
            text("fine;"),
            text("half"),
        ];
        let (entries, script) = answered(lines);
        assert_eq!(entries, [statements("fine;\n")]);
        assert_eq!(script.history, ["fine;"]);
    }

    #[test]
    fn commands_are_lines_with_a_point() {
        let lines = [
            " .tables",
            ".schema",
            ".schema t;",
            ".format CSV",
            ".timer on",
            ".timer off",
            ".help",
            ".quit",
            "fine;",
        ];
        let (entries, script) = answered(lines.map(text));
        let commands = [
            Command::Tables,
            Command::Schema(None),
            Command::Schema(Some("t".to_string())),
            Command::Format(Format::Csv),
            Command::Timer(true),
            Command::Timer(false),
            Command::Help,
        ];
        assert_eq!(entries, commands.map(Entry::Command));
        assert_eq!(script.prompts.len(), 8, "nothing is read after .quit");
    }
}
