//! Any text as a device selector: compiling and evaluating it ends, within the cost limit, the same way every
//! time. The first byte chooses release, stage and gates.

#![no_main]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use drayage_cel::{AttributeValue, Compiler, Device, Environment, ExpressionStage, Quantity, Release};
use libfuzzer_sys::fuzz_target;

static COMPILERS: LazyLock<Vec<Compiler>> = LazyLock::new(|| {
    let mut compilers = vec![];
    for release in Release::ALL {
        for stage in [ExpressionStage::New, ExpressionStage::Stored] {
            for gate in [false, true] {
                compilers.push(Compiler::new(Environment {
                    release,
                    stage,
                    consumable_capacity: gate,
                    list_type_attributes: gate,
                }));
            }
        }
    }
    compilers
});

static DEVICE: LazyLock<Device> = LazyLock::new(|| {
    let strings = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect();
    let attributes = [
        ("model", AttributeValue::String("A100".to_owned())),
        ("memory", AttributeValue::Int(80)),
        ("b", AttributeValue::Bool(true)),
        ("services", AttributeValue::String("some_example_value".to_owned())),
        ("cuda", AttributeValue::Version("12.4.0".to_owned())),
        ("address", AttributeValue::String("10.0.0.7".to_owned())),
        ("ints", AttributeValue::Ints(vec![3, 1, 2])),
        ("names", AttributeValue::Strings(strings(&["x", "y"]))),
        ("net.example.org/speed", AttributeValue::Int(400)),
    ];
    let attributes: BTreeMap<String, AttributeValue> =
        attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let capacity = [("memory", "80Gi"), ("big", "128Ti"), ("milli", "1500m")]
        .map(|(name, text)| (name, text.parse::<Quantity>().expect("a quantity")));
    Device::new("gpu.example.com", &attributes, capacity.iter().map(|(name, value)| (*name, value)), true)
});

fuzz_target!(|data: &[u8]| {
    let Some((choice, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let compiler = &COMPILERS[usize::from(*choice) % COMPILERS.len()];
    for compiled in [compiler.compile_selector(text), compiler.compile_attribute(text)] {
        match compiled {
            Ok(program) => {
                let _ = program.cost_estimate();
                let first = program.evaluate(&DEVICE);
                let second = program.evaluate(&DEVICE);
                assert_eq!(first.cost, second.cost);
                assert_eq!(format!("{:?}", first.value), format!("{:?}", second.value));
                if let Ok(value) = &first.value {
                    let _ = value.to_string();
                }
            }
            Err(error) => {
                let _ = (error.to_string(), error.render());
            }
        }
    }
});
