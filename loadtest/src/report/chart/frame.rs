//! What every picture has: size, axes with units, grid, markers of kills and returns, title and description for those who cannot see
//! it. Colours are classes, so one picture serves light, dark and paper. It must never rely on colour alone.

use super::super::markup::{Element, el, words};
use super::super::{Marker, MarkerKind};
use super::axis::Axis;

/// Width of a picture with the whole page to itself, and of one of a pair, in units that are about a pixel on a screen.
const WIDE: f64 = 1_040.0;
const HALF: f64 = 500.0;
const LEFT: f64 = 72.0;
/// Room for words at the ends of lines.
const RIGHT: f64 = 138.0;
const RIGHT_WITHOUT_WORDS: f64 = 22.0;
const BOTTOM: f64 = 46.0;
/// Rows for the words of markers.
const MARKER_ROWS: usize = 3;
const MARKER_ROW: f64 = 15.0;
/// Most markers that have their node written beside them.
const WORDY_MARKERS: usize = 12;

/// A picture that is being drawn.
pub(in super::super) struct Frame {
    id: String,
    width: f64,
    height: f64,
    top: f64,
    right: f64,
    pub(super) x: Axis,
    pub(super) y: Axis,
    body: Vec<Element>,
}

/// A place in the picture, written with one digit: enough for the eye, half the bytes.
pub(super) fn px(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

impl Frame {
    /// `id` is a word of ours that no other picture of the page has.
    pub(in super::super) fn new(id: &str, height: f64, x: Axis, y: Axis, markers: bool) -> Self {
        let top = if markers { 10.0 + MARKER_ROW * MARKER_ROWS as f64 } else { 26.0 };
        let mut frame =
            Self { id: id.to_owned(), width: WIDE, height, top, right: WIDE - RIGHT, x, y, body: Vec::new() };
        frame.grid();
        frame
    }

    /// One of a pair, without markers and without words at the right.
    pub(in super::super) fn half(id: &str, height: f64, x: Axis, y: Axis) -> Self {
        let right = HALF - RIGHT_WITHOUT_WORDS;
        let mut frame = Self { id: id.to_owned(), width: HALF, height, top: 68.0, right, x, y, body: Vec::new() };
        frame.grid();
        frame
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }
    pub(super) fn left(&self) -> f64 {
        LEFT
    }
    pub(super) fn right(&self) -> f64 {
        self.right
    }
    pub(super) fn top(&self) -> f64 {
        self.top
    }
    pub(super) fn bottom(&self) -> f64 {
        self.height - BOTTOM
    }
    pub(super) fn at_x(&self, value: f64) -> f64 {
        self.left() + self.x.place(value) * (self.right() - self.left())
    }
    pub(super) fn at_y(&self, value: f64) -> f64 {
        self.bottom() - self.y.place(value) * (self.bottom() - self.top())
    }
    pub(super) fn draw(&mut self, element: Element) {
        self.body.push(element);
    }

    fn grid(&mut self) {
        let (left, right, top, bottom) = (self.left(), self.right(), self.top(), self.bottom());
        let label = |x: f64, y: f64, anchor: &str, text: &str| {
            words("text", text).class("tick").attr("x", px(x)).attr("y", px(y)).attr("text-anchor", anchor)
        };
        let mut parts = Vec::new();
        for tick in &self.y.ticks {
            let y = self.at_y(tick.at);
            parts.push(line("grid", left, y, right, y));
            parts.push(label(left - 8.0, y + 4.0, "end", &tick.text));
        }
        let mut free = f64::NEG_INFINITY;
        for tick in &self.x.ticks {
            let x = self.at_x(tick.at);
            parts.push(line("axis", x, bottom, x, bottom + 5.0));
            // Words that would touch those before are left out; the stroke stays.
            let half = tick.text.chars().count() as f64 * 3.4;
            if x - half > free {
                parts.push(label(x, bottom + 19.0, "middle", &tick.text));
                free = x + half + 6.0;
            }
        }
        parts.push(line("axis", left, bottom, right, bottom));
        parts.push(
            label(f64::midpoint(left, right), self.height - 8.0, "middle", &self.x.label).attr("font-style", "italic"),
        );
        let turned = format!("rotate(-90 14 {})", px(f64::midpoint(top, bottom)));
        parts.push(
            label(14.0, f64::midpoint(top, bottom), "middle", &self.y.label)
                .attr("transform", turned)
                .attr("font-style", "italic"),
        );
        self.body.extend(parts);
    }

    /// A stroke and a word for each marker within the picture. Words that have no room are left out; the stroke says them when pointed at.
    pub(in super::super) fn mark(&mut self, markers: &[Marker]) {
        let mut free = [f64::NEG_INFINITY; MARKER_ROWS];
        let many = markers.len() > WORDY_MARKERS;
        let (low, high) = self.x.range();
        for marker in markers.iter().filter(|m| m.at_s >= low && m.at_s <= high) {
            let x = self.at_x(marker.at_s);
            let name = marker.node.as_deref().unwrap_or(marker.kind.word());
            // Many words would hide what they are about; the symbol stays, and the list below the pictures.
            let text = if many { symbol(marker.kind).to_owned() } else { format!("{} {name}", symbol(marker.kind)) };
            let text: String = text.chars().take(18).collect();
            let full = format!("{} at {} s", super::marker_words(marker), super::super::figures::number(marker.at_s));
            let width = text.chars().count() as f64 * 7.0;
            let row = free.iter().position(|end| x - 3.0 > *end);
            let top = row.map_or(self.top(), |row| 12.0 + MARKER_ROW * row as f64);
            let class = format!("marker {}", marker.kind.word());
            let mut group =
                el("g").class(class).child(words("title", full)).child(line("", x, top - 8.0, x, self.bottom()));
            if let Some(place) = row
                && let Some(end) = free.get_mut(place)
            {
                *end = x + width + 6.0;
                group = group.child(words("text", text).attr("x", px(x + 4.0)).attr("y", px(top)));
            }
            self.body.push(group);
        }
    }

    /// Words beside the right end of what they name; those that would overlap are moved apart.
    pub(super) fn end_labels(&mut self, mut labels: Vec<(f64, String, String)>) {
        const LINE: f64 = 14.0;
        labels.sort_by(|a, b| a.0.total_cmp(&b.0));
        let room = self.bottom() - self.top();
        let fit = ((room / LINE) as usize).max(1);
        labels.truncate(fit);
        let mut last = f64::NEG_INFINITY;
        for label in &mut labels {
            label.0 = label.0.max(last + LINE);
            last = label.0;
        }
        // What was pushed beyond the lower end goes up again.
        let mut limit = self.bottom() - 3.0;
        for label in labels.iter_mut().rev() {
            label.0 = label.0.min(limit);
            limit = label.0 - LINE;
        }
        for (y, class, text) in labels {
            let short: String = text.chars().take(17).collect();
            let text = if short == text { text } else { format!("{short}…") };
            let x = self.right() + 8.0;
            self.body.push(words("text", text).class(format!("name {class}")).attr("x", px(x)).attr("y", px(y + 4.0)));
        }
    }

    /// The picture with its title and description.
    pub(in super::super) fn finish(self, title: &str, description: &str) -> Element {
        let (title_id, description_id) = (format!("{}-title", self.id), format!("{}-desc", self.id));
        el("svg")
            .attr("xmlns", "http://www.w3.org/2000/svg")
            .attr("viewBox", format!("0 0 {} {}", px(self.width), px(self.height)))
            .attr("role", "img")
            .attr("aria-labelledby", format!("{title_id} {description_id}"))
            .child(words("title", title).attr("id", title_id))
            .child(words("desc", description).attr("id", description_id))
            .children(self.body)
    }
}

/// A straight line.
pub(super) fn line(class: &str, x1: f64, y1: f64, x2: f64, y2: f64) -> Element {
    let line = el("line").attr("x1", px(x1)).attr("y1", px(y1)).attr("x2", px(x2)).attr("y2", px(y2));
    if class.is_empty() { line } else { line.class(class) }
}

const fn symbol(kind: MarkerKind) -> &'static str {
    match kind {
        MarkerKind::Kill => "✕",
        MarkerKind::Stop => "■",
        MarkerKind::Hang => "‖",
        MarkerKind::Resume | MarkerKind::Return => "▲",
        MarkerKind::Note => "•",
    }
}
