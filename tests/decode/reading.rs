//! The table `[task.reading]`, as it is written in a spec.

use medfsad::spec::{Axis, Intensity, Reading};

fn parsed(text: &str) -> Result<Reading, String> {
    toml::from_str(text).map_err(|err| err.to_string())
}

#[test]
fn every_intensity_and_axis_is_written_as_documented() {
    let of = |text: &str| parsed(text).unwrap().intensity;
    assert_eq!(of(""), Intensity::Stated);
    assert_eq!(of("intensity = \"stated\""), Intensity::Stated);
    assert_eq!(of("intensity = \"full-range\""), Intensity::FullRange);
    assert_eq!(of("intensity = \"min-max\""), Intensity::MinMax);
    let window = Intensity::Window { center: 40.0, width: 400.0 };
    assert_eq!(of("intensity = { window = { center = 40, width = 400 } }"), window);
    let percentiles = Intensity::Percentiles { low: 0.5, high: 99.5 };
    assert_eq!(of("intensity = { percentiles = { low = 0.5, high = 99.5 } }"), percentiles);
    for axis in [Axis::Sagittal, Axis::Coronal, Axis::Axial] {
        assert_eq!(parsed(&format!("axis = \"{}\"", axis.name())).unwrap().axis, axis);
    }
}

#[test]
fn a_reading_survives_being_written_and_read_again() {
    for intensity in [Intensity::Stated, Intensity::MinMax, Intensity::Window { center: 40.5, width: 80.0 }] {
        let reading = Reading { intensity, axis: Axis::Coronal };
        assert_eq!(parsed(&toml::to_string(&reading).unwrap()).unwrap(), reading);
    }
}

#[test]
fn unknown_keys_and_ranges_of_nothing_are_refused() {
    assert!(parsed("window = 3").unwrap_err().contains("window"));
    assert!(parsed("intensity = { window = { centre = 1, width = 2 } }").unwrap_err().contains("centre"));
    assert!(parsed("intensity = \"bright\"").unwrap_err().contains("min-max"));
    let empty = parsed("intensity = { window = { center = 1, width = 0 } }").unwrap();
    assert!(empty.check().unwrap_err().to_string().contains("above 0"));
}
