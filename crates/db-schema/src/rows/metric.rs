//! Samples of measured values.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sqlite::Sqlite;
use serde::{Deserialize, Serialize};

use crate::schema::performance_metrics;
use crate::types::{Json, UtcTime};

/// One sample of one measured value.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, Identifiable, Serialize, Deserialize)]
#[diesel(table_name = performance_metrics, check_for_backend(Sqlite, Pg))]
pub struct Metric {
    /// Key.
    pub id: i64,
    /// What was measured.
    pub name: String,
    /// The value, in its unit.
    pub value: f64,
    /// For instance ms, bytes or 1.
    pub unit: Option<String>,
    /// What tells samples of one name apart: an object.
    pub labels: Json,
    /// When it was measured.
    pub recorded_at: UtcTime,
}

/// A sample to be.
#[derive(Debug, Clone, PartialEq, Insertable)]
#[diesel(table_name = performance_metrics, treat_none_as_default_value = false)]
pub struct NewMetric {
    /// What was measured.
    pub name: String,
    /// The value, in its unit.
    pub value: f64,
    /// For instance ms, bytes or 1.
    pub unit: Option<String>,
    /// What tells samples of one name apart: an object.
    pub labels: Json,
    /// When it was measured.
    pub recorded_at: UtcTime,
}
