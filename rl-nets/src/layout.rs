//! Where each named parameter lies in the flat vector.

use std::ops::Range;

/// One named parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name, such as `q.0.weight`.
    pub name: String,
    /// Its shape; weights are `[out, in]` as in PyTorch.
    pub shape: Vec<usize>,
    /// Where it begins.
    pub offset: usize,
}

impl Entry {
    /// How many numbers it has.
    pub fn len(&self) -> usize {
        self.shape.iter().copied().fold(1, usize::saturating_mul)
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The names, shapes and places of all parameters of a network, in order and without gaps.
///
/// ```
/// let mut layout = rl_nets::Layout::default();
/// assert_eq!(layout.push("q.0.weight", &[2, 3]), 0);
/// assert_eq!(layout.push("q.0.bias", &[2]), 6);
/// assert_eq!(layout.len(), 8);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    entries: Vec<Entry>,
    len: usize,
}

impl Layout {
    /// Adds a parameter at the end and says where it begins.
    pub fn push(&mut self, name: impl Into<String>, shape: &[usize]) -> usize {
        let entry = Entry { name: name.into(), shape: shape.to_vec(), offset: self.len };
        // What cannot be counted is refused where memory for it is asked for.
        self.len = self.len.saturating_add(entry.len());
        let offset = entry.offset;
        self.entries.push(entry);
        offset
    }

    /// Adds all parameters of another layout at the end, their names behind `prefix` and a dot where it is not
    /// empty, and says where they lie.
    pub fn append(&mut self, prefix: &str, part: &Layout) -> Range<usize> {
        let start = self.len;
        for entry in &part.entries {
            let name = match prefix {
                "" => entry.name.clone(),
                prefix => format!("{prefix}.{}", entry.name),
            };
            self.push(name, &entry.shape);
        }
        start..self.len
    }

    /// The layout of what has no parameters.
    pub fn none() -> &'static Layout {
        static NONE: Layout = Layout { entries: Vec::new(), len: 0 };
        &NONE
    }

    /// All parameters in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Numbers in the flat vector.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no parameters.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}
