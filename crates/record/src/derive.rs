//! Values that are derived where the producer gives none.
