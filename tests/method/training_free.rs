//! Methods without training against brute force and their own acceptance tests.
