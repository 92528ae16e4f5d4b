//! The 22 views of few supports.

use medfsad::method::views;

use super::*;

#[test]
fn twenty_two_views_hold_the_picture_its_mirror_and_its_quarter_turns() {
    let picture = pictures("support", 2).pixels;
    let found = views::augmented(&picture);
    assert_eq!(found.size(), [44, 3, SIDE, SIDE]);
    assert_eq!(found.kind(), Kind::Uint8);
    let view = |index: i64| found.narrow(0, 2 * index, 2);
    assert!(view(0).equal(&picture));
    assert!(view(17).equal(&picture.flip([3])));
    assert!((1..=3).all(|quarters| view(18 + quarters).equal(&picture.rot90(quarters, [2, 3]))));
    let grey = view(18);
    assert!(grey.select(1, 0).equal(&grey.select(1, 1)) && grey.select(1, 0).equal(&grey.select(1, 2)));
    for a in 0..22 {
        for b in 0..a {
            assert!(!view(a).equal(&view(b)), "views {a} and {b} are the same");
        }
    }
}

#[test]
fn black_corners_are_black_and_all_else_is_some_pixel() {
    let picture = pictures("support", 1).pixels.to_kind(Kind::Float) + 1.0;
    let quarter = views::turned_on_black(&picture, std::f64::consts::FRAC_PI_2);
    assert!([1, 3].iter().any(|&quarters| quarter.equal(&picture.rot90(quarters, [2, 3]))));
    let eighth = views::turned_on_black(&picture, std::f64::consts::FRAC_PI_4);
    for [row, column] in [[0, 0], [0, SIDE - 1], [SIDE - 1, 0], [SIDE - 1, SIDE - 1]] {
        assert_eq!(eighth.double_value(&[0, 0, row, column]), 0.0);
    }
    let known: std::collections::BTreeSet<i64> =
        doubles(&picture).into_iter().map(|value| value as i64).collect();
    assert!(
        doubles(&eighth)
            .into_iter()
            .all(|value| value == 0.0 || known.contains(&(value as i64)) && value.fract() == 0.0)
    );
}

#[test]
fn a_rectangle_is_turned_by_pixels() {
    // Whose middle square is turned as a square is.
    let bytes: Vec<u8> = (0..3 * 40 * 60).map(|at: usize| (at * at % 251) as u8).collect();
    for (height, width) in [(40, 60), (60, 40)] {
        let picture =
            Tensor::from_data_size(&bytes, &[1, 3, height, width], Kind::Uint8).to_kind(Kind::Float);
        let middle =
            |picture: &Tensor| picture.narrow(2, (height - 40) / 2, 40).narrow(3, (width - 40) / 2, 40);
        for quarters in [1, 2, 3] {
            let angle = quarters as f64 * std::f64::consts::FRAC_PI_2;
            let expected = middle(&picture).rot90(quarters, [2, 3]);
            for (turned, bound) in
                [(views::turned(&picture, angle), 0.1), (views::turned_on_black(&picture, angle), 0.0)]
            {
                let off = (middle(&turned) - &expected).abs().max().double_value(&[]);
                assert!(off <= bound, "{height} x {width}, {quarters} quarters: {off} grey levels off");
            }
        }
    }
}

#[test]
fn turns_and_shifts_move_an_off_centre_bar_where_they_should() {
    // A bar off the centre, longer than wide, whose turns stay inside.
    let bar = Tensor::zeros([1, 3, 40, 40], (Kind::Float, Device::Cpu));
    let _ = bar.narrow(2, 10, 4).narrow(3, 14, 14).fill_(200.0);
    let centre = |picture: &Tensor| {
        let weight = picture.get(0).get(0);
        let total = weight.sum(None::<Kind>).double_value(&[]);
        let along = |dim: [i64; 1]| {
            let places = Tensor::arange(40, (Kind::Float, Device::Cpu));
            (weight.sum_dim_intlist(dim.as_slice(), false, None::<Kind>) * places)
                .sum(None::<Kind>)
                .double_value(&[])
                / total
        };
        (along([1]) - 19.5, along([0]) - 19.5)
    };
    let (row, column) = centre(&bar);
    // A turn is about the middle and keeps the distance from it.
    let turned = views::turned(&bar, std::f64::consts::PI / 8.0);
    let (turned_row, turned_column) = centre(&turned);
    assert!((turned_row.hypot(turned_column) / row.hypot(column) - 1.0).abs() < 0.03);
    let angle = (turned_row * column - turned_column * row).atan2(turned_row * row + turned_column * column);
    assert!((angle.abs() - std::f64::consts::PI / 8.0).abs() < 0.03, "turned by {angle}");
    assert!(worst(&views::turned(&bar, 0.0), &bar) < 1e-3);
    let quarter = views::turned(&bar, std::f64::consts::FRAC_PI_2);
    let off = [1, 3].map(|quarters| worst(&quarter, &bar.rot90(quarters, [2, 3])));
    assert!(off[0].min(off[1]) < 0.05, "a quarter turn is off by {off:?}");
    // Shifts by a tenth of the side: four pixels either way.
    let found = views::augmented(&bar);
    let shifts: Vec<(f64, f64)> =
        (9..13).map(|view| centre(&found.narrow(0, view, 1))).map(|(r, c)| (r - row, c - column)).collect();
    assert!(shifts.iter().all(|(_, c)| (c.abs() - 4.0).abs() < 0.2), "{shifts:?}");
    assert!(shifts.iter().any(|(r, c)| *r > 3.8 && *c > 3.8), "{shifts:?}");
}
