//! Nothing; the tests beside it are what this package is for.
