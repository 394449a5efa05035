//! Lines from a terminal, with editing, a history that outlives the program, and completion.

use std::path::{Path, PathBuf};

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{CompletionType, Config, Context, Editor, Helper};

use super::complete::Names;
use super::prompt::{Line, Lines};
use crate::failure::Failure;
use crate::terminal::Terminal;

/// Entries that the history keeps.
const HISTORY_MAX: usize = 10_000;

/// A terminal.
pub(super) struct LineEditor {
    editor: Editor<Words, FileHistory>,
    /// The file of the history; none if it cannot be kept.
    history: Option<PathBuf>,
    terminal: Terminal,
}

impl LineEditor {
    /// Reads from this program's terminal.
    ///
    /// # Errors
    /// It is none that can be used.
    pub(super) fn new(names: Names, terminal: Terminal) -> Result<LineEditor, Failure> {
        let config = Config::builder()
            .completion_type(CompletionType::List)
            .auto_add_history(false);
        let config = config.max_history_size(HISTORY_MAX).map_err(Failure::new)?;
        let editor = Editor::with_config(config.build());
        let mut editor: Editor<Words, FileHistory> = editor.map_err(Failure::new)?;
        editor.set_helper(Some(Words(names)));
        let history = history_file().filter(|file| {
            let made = file.parent().map(std::fs::create_dir_all);
            made.is_some_and(|made| made.is_ok())
        });
        match &history {
            Some(file) if file.exists() => {
                if let Err(cause) = editor.load_history(file) {
                    untold(terminal, file, &cause);
                }
            }
            _ => {}
        }
        Ok(LineEditor {
            editor,
            history,
            terminal,
        })
    }
}

fn untold(terminal: Terminal, file: &Path, cause: &ReadlineError) {
    terminal.detail(&format!("history {}: {cause}", file.display()));
}

/// Where the history is kept.
fn history_file() -> Option<PathBuf> {
    let named = |name| {
        let value = std::env::var_os(name);
        value.filter(|value| !value.is_empty()).map(PathBuf::from)
    };
    let state = named("XDG_STATE_HOME").or_else(|| Some(named("HOME")?.join(".local/state")));
    Some(state?.join("pelton/history"))
}

impl Lines for LineEditor {
    fn next(&mut self, prompt: &str) -> Result<Line, Failure> {
        match self.editor.readline(prompt) {
            Ok(line) => Ok(Line::Text(line)),
            Err(ReadlineError::Interrupted) => Ok(Line::Dropped),
            Err(ReadlineError::Eof) => Ok(Line::End),
            Err(cause) => Err(Failure::new(format_args!(
                "cannot read the terminal: {cause}"
            ))),
        }
    }

    fn remember(&mut self, entry: &str) {
        let kept = self.editor.add_history_entry(entry);
        // At once: who knows how the program ends.
        let kept = kept.and_then(|_| match &self.history {
            Some(file) => self.editor.append_history(file),
            None => Ok(()),
        });
        if let (Err(cause), Some(file)) = (kept, &self.history) {
            untold(self.terminal, file, &cause);
        }
    }
}

/// Completes words; gives no hints and no colours.
struct Words(Names);

impl Completer for Words {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _context: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(self.0.complete(line, position))
    }
}

impl Hinter for Words {
    type Hint = String;
}

impl Highlighter for Words {}

impl Validator for Words {}

impl Helper for Words {}
