//! How usage is shown.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sqlite::Sqlite;
use serde::{Deserialize, Serialize};

use crate::schema::usage_config;
use crate::types::{UtcTime, vocabulary};

vocabulary! {
    /// What is paid for.
    pub enum UsagePlan {
        /// Pro.
        Pro = "pro",
        /// Max, five times.
        Max5 = "max5",
        /// Max, twenty times.
        Max20 = "max20",
        /// A limit of one's own.
        Custom = "custom",
    }
}

vocabulary! {
    /// What is shown.
    pub enum UsageView {
        /// As it comes.
        Realtime = "realtime",
        /// Per day.
        Daily = "daily",
        /// Per month.
        Monthly = "monthly",
        /// Per session.
        Session = "session",
    }
}

vocabulary! {
    /// How hours are written.
    pub enum TimeFormat {
        /// With am and pm.
        Hours12 = "12h",
        /// From 0 to 23.
        Hours24 = "24h",
        /// As the system does.
        Auto = "auto",
    }
}

vocabulary! {
    /// Colours.
    pub enum Theme {
        /// Dark on light.
        Light = "light",
        /// Light on dark.
        Dark = "dark",
        /// As terminals were.
        Classic = "classic",
        /// As the system has it.
        Auto = "auto",
    }
}

/// How usage is shown. At most one row is active.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, Identifiable, Serialize, Deserialize)]
#[diesel(table_name = usage_config, check_for_backend(Sqlite, Pg))]
pub struct UsageConfig {
    /// Key.
    pub id: i64,
    /// What is paid for.
    pub plan: UsagePlan,
    /// Limit of the custom plan, in tokens of a language model; above 0.
    pub custom_limit_tokens: Option<i64>,
    /// What is shown.
    pub view: UsageView,
    /// IANA name, or auto.
    pub timezone: String,
    /// How hours are written.
    pub time_format: TimeFormat,
    /// Colours.
    pub theme: Theme,
    /// Seconds between two readings of the data, 1 to 60.
    pub refresh_rate: i32,
    /// Times that the display is drawn in a second, 0.1 to 20.
    pub refresh_per_second: f64,
    /// Hour of the day, 0 to 23, at which counting starts anew.
    pub reset_hour: Option<i32>,
    /// When it was made.
    pub created_at: UtcTime,
    /// When the row was last changed.
    pub updated_at: UtcTime,
    /// Whether it is the one that counts.
    pub is_active: bool,
}

/// What of a configuration to change, or to set in a new one; what is `None` stays, or is the
/// table's default; `Some(None)` takes away.
#[derive(Debug, Clone, Default, PartialEq, AsChangeset, Insertable)]
#[diesel(table_name = usage_config)]
pub struct UsageConfigChanges {
    /// What is paid for.
    pub plan: Option<UsagePlan>,
    /// Limit of the custom plan, in tokens of a language model; above 0.
    pub custom_limit_tokens: Option<Option<i64>>,
    /// What is shown.
    pub view: Option<UsageView>,
    /// IANA name, or auto.
    pub timezone: Option<String>,
    /// How hours are written.
    pub time_format: Option<TimeFormat>,
    /// Colours.
    pub theme: Option<Theme>,
    /// Seconds between two readings of the data, 1 to 60.
    pub refresh_rate: Option<i32>,
    /// Times that the display is drawn in a second, 0.1 to 20.
    pub refresh_per_second: Option<f64>,
    /// Hour of the day, 0 to 23, at which counting starts anew.
    pub reset_hour: Option<Option<i32>>,
}

impl UsageConfigChanges {
    /// Sets everything to what the table has as its defaults.
    #[must_use]
    pub fn defaults() -> Self {
        Self {
            plan: Some(UsagePlan::Custom),
            custom_limit_tokens: Some(None),
            view: Some(UsageView::Realtime),
            timezone: Some("auto".to_owned()),
            time_format: Some(TimeFormat::Auto),
            theme: Some(Theme::Auto),
            refresh_rate: Some(10),
            refresh_per_second: Some(0.75),
            reset_hour: Some(None),
        }
    }
}
