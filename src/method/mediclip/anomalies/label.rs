//! How anomalous each pixel of a pasted patch is: by how much it changed, holes filled.

/// Deviation of the Gaussian of grey levels that turns a change into a label.
const DEVIATION: f64 = 0.2;

/// The label of a change by `x` grey levels, 0 to 1.
pub fn of_change(x: f64) -> f64 {
    1.0 - (-x * x / (2.0 * DEVIATION * DEVIATION)).exp()
}

/// Labels of a plane of `side` x `side` pixels from changes inside `mask`. In the box round each connected part, pixels that
/// are less than all around them become as these.
pub fn filled(changes: &[f64], mask: &[bool], side: usize) -> Vec<f64> {
    let label = |(&change, &inside): (&f64, &bool)| if inside { of_change(change) } else { 0.0 };
    let mut labels: Vec<f64> = changes.iter().zip(mask).map(label).collect();
    for [top, left, height, width] in boxes(mask, side) {
        let place = |at: usize| (top + at / width) * side + left + at % width;
        let inside: Vec<f64> = (0..height * width).map(|at| labels[place(at)]).collect();
        let closed = lowest(&highest(&inside, [height, width]), [height, width]);
        for (at, value) in holes_filled(&closed, [height, width]).into_iter().enumerate() {
            labels[place(at)] = value;
        }
    }
    labels
}

/// Boxes round the connected parts of a mask, by their first pixels: top, left, height, width. Pixels connect along rows and
/// columns.
fn boxes(mask: &[bool], side: usize) -> Vec<[usize; 4]> {
    let mut seen = vec![false; mask.len()];
    let mut found = Vec::new();
    for start in 0..mask.len() {
        if !mask[start] || seen[start] {
            continue;
        }
        let (mut open, mut corners) = (vec![start], [usize::MAX, usize::MAX, 0, 0]);
        seen[start] = true;
        while let Some(place) = open.pop() {
            let (row, column) = (place / side, place % side);
            corners =
                [corners[0].min(row), corners[1].min(column), corners[2].max(row), corners[3].max(column)];
            let steps = [
                (row > 0).then(|| place - side),
                (row + 1 < side).then(|| place + side),
                (column > 0).then(|| place - 1),
                (column + 1 < side).then(|| place + 1),
            ];
            for next in steps.into_iter().flatten().filter(|&next| mask[next]) {
                if !std::mem::replace(&mut seen[next], true) {
                    open.push(next);
                }
            }
        }
        let [top, left, bottom, right] = corners;
        found.push([top, left, bottom + 1 - top, right + 1 - left]);
    }
    found
}

/// Lowers a high plateau to the plane from its border inwards, as far as the plane lets it: basins end at their rims.
fn holes_filled(plane: &[f64], shape: [usize; 2]) -> Vec<f64> {
    let [height, width] = shape;
    let top = plane.iter().copied().fold(0.0, f64::max);
    let on_border = |at: usize| {
        at / width == 0 || at.is_multiple_of(width) || at / width == height - 1 || at % width == width - 1
    };
    let start = |at: usize| if on_border(at) { plane[at] } else { top };
    let mut level: Vec<f64> = (0..plane.len()).map(start).collect();
    loop {
        let lowered: Vec<f64> =
            lowest(&level, shape).into_iter().zip(plane).map(|(low, &floor)| low.max(floor)).collect();
        if lowered == level {
            return level;
        }
        level = lowered;
    }
}

fn highest(plane: &[f64], shape: [usize; 2]) -> Vec<f64> {
    over_neighbours(plane, shape, f64::max)
}

fn lowest(plane: &[f64], shape: [usize; 2]) -> Vec<f64> {
    over_neighbours(plane, shape, f64::min)
}

/// Over 3 x 3 pixels, those inside the plane.
fn over_neighbours(plane: &[f64], [height, width]: [usize; 2], pick: fn(f64, f64) -> f64) -> Vec<f64> {
    let near = |at: usize, n: usize| at.saturating_sub(1)..(at + 2).min(n);
    let value = |at: usize| {
        let rows = near(at / width, height);
        let places = rows.flat_map(|row| near(at % width, width).map(move |column| row * width + column));
        places.map(|place| plane[place]).fold(plane[at], pick)
    };
    (0..plane.len()).map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_in_a_changed_part_are_filled_and_what_lies_outside_is_not() {
        // A ring of changes with an unchanged middle, all of it masked, and an unmasked corner.
        let side = 9;
        let at = |row: usize, column: usize| row * side + column;
        let mut mask = vec![false; 81];
        let mut changes = vec![0.0; 81];
        for row in 1..8 {
            for column in 1..8 {
                mask[at(row, column)] = true;
                let is_ring = [1, 7].contains(&row) || [1, 7].contains(&column);
                changes[at(row, column)] = if is_ring { 9.0 } else { 0.0 };
            }
        }
        changes[0] = 9.0;
        let labels = filled(&changes, &mask, side);
        assert!((labels[at(4, 4)] - 1.0).abs() < 1e-12 && labels[0] == 0.0);
        // Open on one side: the middle runs out.
        (0..9).for_each(|row| changes[at(row, 7)] = 0.0);
        assert_eq!(filled(&changes, &mask, side)[at(4, 6)], 0.0);
    }

    #[test]
    fn parts_have_boxes_of_their_own() {
        let mut mask = vec![false; 25];
        [0, 1, 5, 12, 24].into_iter().for_each(|place| mask[place] = true);
        assert_eq!(boxes(&mask, 5), [[0, 0, 2, 2], [2, 2, 1, 1], [4, 4, 1, 1]]);
    }
}
