//! From files of many formats to clean, deduplicated documents in Parquet.
