//! Comments of .proto files on their way to those of other languages.
//!
//! rustdoc compiles and runs what looks like a block of code. A drawing or a piece of C++ in a
//! comment would so become a failing test of the user's crate. Every such block is marked as text.

use prost_types::FileDescriptorProto;

/// The comments of the element at a path of field numbers and indices, if it has any.
pub(crate) fn of(file: &FileDescriptorProto, path: &[i32]) -> Option<String> {
    let locations = file.source_code_info.as_ref().map_or(&[][..], |info| &info.location);
    let place = locations.iter().find(|location| location.path == path)?;
    let parts = [place.leading_comments(), place.trailing_comments()].map(str::trim_end);
    let parts: Vec<_> = parts.into_iter().filter(|text| !text.trim().is_empty()).collect();
    (!parts.is_empty()).then(|| parts.join("\n\n"))
}

/// Marks the code blocks in all comments of a file.
pub(crate) fn keep_out_of_doctests(file: &mut FileDescriptorProto) {
    for location in file.source_code_info.iter_mut().flat_map(|info| &mut info.location) {
        let comments = [&mut location.leading_comments, &mut location.trailing_comments];
        for text in comments.into_iter().flatten() {
            *text = mark_blocks(text);
        }
    }
}

/// Where a line stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Text,
    /// Between fences of the source.
    Fenced,
    /// Indented by four and more, between fences of ours.
    Indented,
}

fn mark_blocks(comment: &str) -> String {
    let mut marked = String::with_capacity(comment.len() + 16);
    let mut place = Place::Text;
    let mut after_blank = true;
    for line in comment.lines() {
        let text = line.trim_start();
        // One space belongs to the comment sign; four more make a block, but only after a gap.
        let is_indented = line.len() - text.len() > 4 && !text.is_empty();
        if place == Place::Indented && !is_indented && !text.is_empty() {
            marked.push_str(" ```\n");
            place = Place::Text;
        }
        let is_fence = text.starts_with("```") || text.starts_with("~~~");
        match place {
            Place::Text if is_fence => {
                place = Place::Fenced;
                marked.push_str(" ```text\n");
            }
            Place::Fenced if is_fence => {
                place = Place::Text;
                marked.push_str(" ```\n");
            }
            Place::Text if is_indented && after_blank => {
                place = Place::Indented;
                marked.push_str(" ```text\n");
                push_line(&mut marked, line);
            }
            Place::Text | Place::Fenced | Place::Indented => push_line(&mut marked, line),
        }
        after_blank = text.is_empty();
    }
    if place != Place::Text {
        marked.push_str(" ```\n");
    }
    marked
}

fn push_line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::mark_blocks;

    #[test]
    fn plain_comments_stay_as_they_are() {
        for comment in [" One line.\n", " Two\n lines.\n\n And a gap.\n", " - a\n     b\n"] {
            assert_eq!(mark_blocks(comment), comment);
        }
    }

    #[test]
    fn blocks_of_code_become_text() {
        let fenced = " See:\n ```\n a();\n ```\n After.\n";
        assert_eq!(mark_blocks(fenced), " See:\n ```text\n a();\n ```\n After.\n");
        let rust = " ```rust\n a();\n ```\n";
        assert_eq!(mark_blocks(rust), " ```text\n a();\n ```\n");
        let indented = " See:\n\n     a();\n\n     b();\n After.\n";
        let expect = " See:\n\n ```text\n     a();\n\n     b();\n ```\n After.\n";
        assert_eq!(mark_blocks(indented), expect);
    }

    #[test]
    fn blocks_that_nobody_closed_are_closed() {
        assert_eq!(mark_blocks(" ```\n a();\n"), " ```text\n a();\n ```\n");
        assert_eq!(mark_blocks("\n     a();\n"), "\n ```text\n     a();\n ```\n");
    }
}
