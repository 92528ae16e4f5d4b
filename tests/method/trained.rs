//! Teacher and student, registration and pretext methods: their acceptance tests.
