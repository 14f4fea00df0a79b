//! The `.env` file, and variables whose names are probably misspelled.

use std::fs;
use std::io;
use std::path::Path;

use super::command_line::CommandLineError;

/// A prefix that other servers use for the variables of a program. Ours have none.
const PREFIX: &str = "DUOLOGUE_";

/// Sets the variables of the file that are not set yet, and returns the names in it. No file is an empty one.
///
/// # Errors
/// The file cannot be read, or a line is not an assignment. The error has the number of the line but not its text,
/// which may contain a secret.
pub(super) fn load(path: &Path) -> Result<Vec<String>, CommandLineError> {
    let text = match fs::read_to_string(path) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.map_err(|cause| CommandLineError::EnvFile(cause.to_string()))?,
    };
    let names = names(&text)?;
    dotenvy::from_path(path).map_err(|cause| CommandLineError::EnvFile(cause.to_string()))?;
    Ok(names)
}

fn names(text: &str) -> Result<Vec<String>, CommandLineError> {
    let mut names = Vec::new();
    for (place, assignment) in dotenvy::from_read_iter(text.trim_start_matches('\u{feff}').as_bytes()).enumerate() {
        match assignment {
            Ok((name, _)) => names.push(name),
            Err(dotenvy::Error::LineParse(broken, _)) => {
                let line = line_of(text, &broken, place);
                return Err(CommandLineError::EnvFile(format!("line {line} is not of the form NAME=value")));
            }
            Err(cause) => return Err(CommandLineError::EnvFile(cause.to_string())),
        }
    }
    Ok(names)
}

/// The number of the line that the parser refused, from 1. The parser reports only its text. Of several equal lines, it
/// is the first, because the parser refuses that one.
fn line_of(text: &str, broken: &str, assignments: usize) -> usize {
    let first = broken.lines().next().unwrap_or_default().trim();
    let found = text.lines().position(|line| line.trim() == first);
    found.unwrap_or(assignments) + 1
}

/// A warning for each name that is not a setting but resembles one.
pub(super) fn warnings(names: impl Iterator<Item = String>, settings: &[String]) -> Vec<String> {
    let mut warnings: Vec<String> = names
        .filter(|name| !settings.contains(name))
        .filter_map(|name| {
            let nearest = nearest(&name, settings)?;
            Some(format!("the variable {name} is not a setting and has no effect; did you mean {nearest}?"))
        })
        .collect();
    warnings.sort();
    warnings.dedup();
    warnings
}

/// The setting with the most similar name: one edit for every five letters of the name may be missing.
fn nearest<'a>(name: &str, settings: &'a [String]) -> Option<&'a String> {
    let upper = name.to_uppercase().replace('-', "_");
    let bare = upper.strip_prefix(PREFIX).unwrap_or(&upper);
    let (distance, nearest) = settings.iter().map(|setting| (edits(bare, setting), setting)).min()?;
    (distance <= bare.len() / 5).then_some(nearest)
}

/// The number of insertions, deletions, substitutions and exchanges of neighbours between two texts (optimal string
/// alignment).
fn edits(one: &str, other: &str) -> usize {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (row, letter) in one.iter().enumerate() {
        let mut next = vec![row + 1];
        for (column, against) in other.iter().enumerate() {
            let replaced = last[column] + usize::from(letter != against);
            let mut least = replaced.min(last[column + 1] + 1).min(next[column] + 1);
            let is_swap = row > 0 && column > 0 && one[row - 1] == *against && *letter == other[column - 1];
            if is_swap {
                least = least.min(before[column - 1] + 1);
            }
            next.push(least);
        }
        before = std::mem::replace(&mut last, next);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_line_is_reported_by_its_number_only() {
        for (text, line) in [
            ("A=1\n\n# comment\nJWT_SECRET hunter2\nB=2\n", 4),
            ("hunter2\nA=1", 1),
            ("A=\"one\ntwo\"\n  hunter2 one\n", 3),
            ("A=1\nB=\"hunter2\n\nC=3\n", 2),
            ("\u{feff}A=1\nB=hunter2 hunter2\n", 2),
        ] {
            let error = names(text).unwrap_err().to_string();
            assert_eq!(error, format!(".env: line {line} is not of the form NAME=value"), "{text}");
        }
        assert_eq!(names("\u{feff}A=1\nexport B='two words'\n# C=3\n").unwrap(), ["A", "B"]);
    }

    #[test]
    fn a_misspelled_name_is_reported_with_the_nearest_setting() {
        let settings = ["PORT", "HOST", "LOG", "LOG_FORMAT", "MAX_REPLIES", "MAX_REPLIES_PER_USER", "DATABASE_URL"]
            .map(str::to_owned);
        for (name, nearest) in [
            ("MAX_REPLYS", "MAX_REPLIES"),
            ("DATABSE_URL", "DATABASE_URL"),
            ("database_url", "DATABASE_URL"),
            ("DUOLOGUE_PORT", "PORT"),
            ("LOGFORMAT", "LOG_FORMAT"),
            ("LOG-FORMAT", "LOG_FORMAT"),
            ("MAX_REPLIES_PER_USERS", "MAX_REPLIES_PER_USER"),
        ] {
            let warning = warnings([name.to_owned()].into_iter(), &settings);
            let expected = format!("the variable {name} is not a setting and has no effect; did you mean {nearest}?");
            assert_eq!(warning, [expected]);
        }
        let others = ["PATH", "LANG", "POST", "HOSTNAME", "LOGNAME", "PORT", "COLORTERM", "MAX_FILES"];
        assert!(warnings(others.map(str::to_owned).into_iter(), &settings).is_empty());
        assert_eq!((edits("abcd", "acbd"), edits("", "ab"), edits("ab", "ab")), (1, 2, 0));
    }
}
