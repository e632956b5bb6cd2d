//! Run folders, manifests, fingerprints, atomic publication and typed Parquet tables.
