//! Vocabulary training and parallel encoding, Parquet to Parquet.
