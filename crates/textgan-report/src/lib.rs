//! One offline HTML report from the artifacts of a run.
