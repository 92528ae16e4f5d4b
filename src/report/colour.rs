//! Colours that colour-blind readers can tell apart, and two colour maps of our own.

use plotters::style::RGBColor;

/// Text and axes. The page repaints this and the next four by their hexadecimal names when it is dark.
pub(super) const INK: RGBColor = RGBColor(0x24, 0x29, 0x2F);
/// Tick labels and notes.
pub(super) const MUTED: RGBColor = RGBColor(0x57, 0x60, 0x6A);
/// Grid lines.
pub(super) const GRID: RGBColor = RGBColor(0xD8, 0xDE, 0xE4);
/// Background.
pub(super) const PAPER: RGBColor = RGBColor(0xFF, 0xFF, 0xFF);
/// Warnings.
pub(super) const ALARM: RGBColor = RGBColor(0xB5, 0x47, 0x08);
/// Trivial controls and whatever stays in the background.
pub(super) const FAINT: RGBColor = RGBColor(0x8C, 0x95, 0x9F);

/// Okabe and Ito's palette (Color Universal Design, 2008) without black and yellow, which one of
/// the two backgrounds swallows.
pub(super) const SERIES: [RGBColor; 6] = [
    RGBColor(0x00, 0x72, 0xB2),
    RGBColor(0xD5, 0x5E, 0x00),
    RGBColor(0x00, 0x9E, 0x73),
    RGBColor(0xCC, 0x79, 0xA7),
    RGBColor(0xE6, 0x9F, 0x00),
    RGBColor(0x56, 0xB4, 0xE9),
];

/// Dark violet over red to pale yellow: brightness grows steadily, so the map survives grey print.
const HEAT: [[f64; 3]; 6] = [
    [4.0, 3.0, 20.0],
    [66.0, 12.0, 96.0],
    [142.0, 38.0, 98.0],
    [212.0, 76.0, 58.0],
    [247.0, 148.0, 28.0],
    [250.0, 247.0, 170.0],
];

/// The heat colour of `share`, 0 (low) to 1 (high).
pub(super) fn heat(share: f64) -> [u8; 3] {
    let place = share.clamp(0.0, 1.0) * (HEAT.len() - 1) as f64;
    let below = (place as usize).min(HEAT.len() - 2);
    let part = place - below as f64;
    std::array::from_fn(|c| (HEAT[below][c] * (1.0 - part) + HEAT[below + 1][c] * part).round() as u8)
}
