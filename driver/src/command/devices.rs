//! The devices of this machine.

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
};

use clap::{Args, ValueEnum};
use drayage_driver::devices::{Condition, DeviceSource as _};
use serde_json::{Map, Value, json};

use super::{Options, say};

/// How devices are printed.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    /// A line each
    Text,
    /// An object with everything
    Json,
}

#[derive(Args, Debug)]
pub(super) struct DevicesArguments {
    #[command(flatten)]
    options: Options,
    /// How they are printed
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

/// Prints the devices as they would be offered now. Nothing is published, and no claim is looked at.
pub(super) fn print(arguments: &DevicesArguments) -> Result<(), Box<dyn std::error::Error>> {
    let source = arguments.options.source()?;
    let pools = source.pools()?;
    let seen: BTreeMap<(String, String), Condition> = source
        .observe()?
        .into_iter()
        .map(|observation| ((observation.pool, observation.device), observation.condition))
        .collect();
    let mut printed = Vec::new();
    let mut lines = String::new();
    for pool in &pools {
        let mut devices = Vec::new();
        for device in &pool.devices {
            let mut fields = device.fields.map();
            let condition = seen.get(&(pool.name.clone(), device.name.clone()));
            let (health, message) = match condition {
                Some(Condition::Works) => ("Healthy", ""),
                Some(Condition::Faulty(message)) => ("Unhealthy", message.as_str()),
                Some(Condition::Vanished) => ("Unhealthy", "it has vanished"),
                Some(Condition::Unknown(message)) => ("Unknown", message.as_str()),
                None => ("Unknown", "it was not looked at"),
            };
            lines.push_str(&line(&pool.name, &device.name, &fields, health, message));
            fields.insert("name".to_owned(), json!(device.name));
            fields.insert("health".to_owned(), json!({ "state": health, "message": message }));
            devices.push(Value::Object(fields));
        }
        let mut object = json!({ "name": pool.name, "devices": devices });
        if !pool.shared_counters.is_empty() {
            object["sharedCounters"] = json!(pool.shared_counters);
        }
        printed.push(object);
    }
    let text = match arguments.output {
        Output::Text => lines,
        Output::Json => {
            let report =
                json!({ "apiVersion": "drayage.dev/v1alpha1", "kind": "NodeDevices", "pools": printed });
            format!("{}\n", serde_json::to_string_pretty(&report)?)
        }
    };
    for note in source.notes() {
        say(&format!("note: {note}"));
    }
    // A reader that went away has seen enough.
    let _ = io::stdout().lock().write_all(text.as_bytes());
    Ok(())
}

/// A device with what people look for first.
fn line(pool: &str, device: &str, fields: &Map<String, Value>, health: &str, message: &str) -> String {
    let attribute = |name: &str| {
        let value =
            fields.get("attributes").and_then(|attributes| attributes.get(name)).and_then(Value::as_object);
        value.and_then(|value| value.values().next()).and_then(Value::as_str)
    };
    let memory =
        fields.get("capacity").and_then(|capacity| capacity.pointer("/memory/value")).and_then(Value::as_str);
    let known = [attribute("productName"), attribute("uuid"), memory]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(", ");
    let reason = if message.is_empty() { String::new() } else { format!(": {message}") };
    let colon = if known.is_empty() { "" } else { "  " };
    format!("{pool}/{device}  {health}{reason}{colon}{known}\n")
}
