//! One integration binary; every file covers one area.

mod report;
