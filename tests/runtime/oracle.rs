//! What plans give, by loops over plain rows.

use std::collections::{BTreeMap, BTreeSet};

use pelton::expr::JoinKind;

use crate::data::{Data, Dim, Fact};
use crate::support::values::{Rows, Value};

fn integer(value: impl Into<i128>) -> Value {
    Value::Integer(value.into())
}

fn maybe(value: Option<i64>) -> Value {
    value.map_or(Value::Null, integer)
}

fn text(value: Option<&String>) -> Value {
    value.map_or(Value::Null, |text| Value::Text(text.clone()))
}

pub fn filtered(data: &Data) -> Rows {
    let kept = data.facts.iter().filter_map(|fact| {
        let amount = fact.amount.filter(|amount| *amount > 100)?;
        let yes = "yes".to_string();
        let what = if fact.flag == Some(true) {
            Some(&yes)
        } else {
            fact.name.as_ref()
        };
        (fact.kind != 3).then(|| {
            let sum = amount * 2 + i64::from(fact.kind);
            vec![integer(fact.id), integer(sum), text(what)]
        })
    });
    kept.collect()
}

fn aggregates(facts: &[&Fact]) -> [Value; 5] {
    let amounts: Vec<i64> = facts.iter().filter_map(|fact| fact.amount).collect();
    let sum = (!amounts.is_empty()).then(|| amounts.iter().sum::<i64>());
    [
        maybe(sum),
        maybe(amounts.iter().min().copied()),
        maybe(amounts.iter().max().copied()),
        integer(facts.iter().map(|fact| fact.price).sum::<i128>()),
        Value::Float(facts.iter().map(|fact| fact.ratio).sum()),
    ]
}

pub fn aggregated(data: &Data) -> Rows {
    let all: Vec<&Fact> = data.facts.iter().collect();
    let [sum, min, _, _, ratio] = aggregates(&all);
    let most = all.iter().map(|fact| fact.ratio).fold(f64::MIN, f64::max);
    let kinds: BTreeSet<i32> = all.iter().map(|fact| fact.kind).collect();
    let amounts = all.iter().filter(|fact| fact.amount.is_some()).count();
    vec![vec![
        sum,
        integer(amounts as i64),
        min,
        Value::Float(most),
        ratio,
        integer(kinds.len() as i64),
        integer(all.len() as i64),
    ]]
}

pub fn groups(data: &Data) -> Rows {
    let mut groups: BTreeMap<(Option<i64>, i32), Vec<&Fact>> = BTreeMap::new();
    for fact in &data.facts {
        groups.entry((fact.key, fact.kind)).or_default().push(fact);
    }
    let row = |((key, kind), facts): ((Option<i64>, i32), Vec<&Fact>)| {
        let mut row = vec![maybe(key), integer(kind)];
        row.extend(aggregates(&facts));
        row.push(integer(facts.len() as i64));
        row
    };
    groups.into_iter().map(row).collect()
}

pub fn many_groups(data: &Data) -> Rows {
    let row = |fact: &Fact| vec![integer(fact.id * 7), maybe(fact.amount)];
    data.facts.iter().map(row).collect()
}

pub fn distinct(data: &Data) -> Rows {
    let all = data.facts.iter();
    let different: BTreeSet<_> = all.map(|fact| (fact.name.clone(), fact.kind)).collect();
    let row = |(name, kind): (Option<String>, i32)| vec![text(name.as_ref()), integer(kind)];
    different.into_iter().map(row).collect()
}

/// Pairs of rows for which `is_match`, and what the kind keeps of the others.
fn pairs(
    data: &Data,
    kind: JoinKind,
    is_match: impl Fn(&Fact, &Dim) -> bool,
) -> Vec<(Option<&Fact>, Option<&Dim>)> {
    let mut pairs = Vec::new();
    let mut found = vec![false; data.dims.len()];
    for fact in &data.facts {
        let before = pairs.len();
        for (dim, found) in data.dims.iter().zip(&mut found) {
            if is_match(fact, dim) {
                *found = true;
                pairs.push((Some(fact), Some(dim)));
            }
        }
        if pairs.len() == before && matches!(kind, JoinKind::Left | JoinKind::Full) {
            pairs.push((Some(fact), None));
        }
    }
    if matches!(kind, JoinKind::Right | JoinKind::Full) {
        let unmatched = data.dims.iter().zip(&found).filter(|(_, found)| !**found);
        pairs.extend(unmatched.map(|(dim, _)| (None, Some(dim))));
    }
    pairs
}

fn same_key(fact: &Fact, dim: &Dim) -> bool {
    fact.key.is_some() && fact.key == dim.key
}

/// Columns `id`, `amount`, `label`, `weight`.
fn joined_rows(pairs: Vec<(Option<&Fact>, Option<&Dim>)>) -> Rows {
    let row = |(fact, dim): (Option<&Fact>, Option<&Dim>)| {
        vec![
            maybe(fact.map(|fact| fact.id)),
            maybe(fact.and_then(|fact| fact.amount)),
            text(dim.and_then(|dim| dim.label.as_ref())),
            maybe(dim.map(|dim| dim.weight)),
        ]
    };
    pairs.into_iter().map(row).collect()
}

pub fn joined(data: &Data, kind: JoinKind) -> Rows {
    joined_rows(pairs(data, kind, same_key))
}

pub fn residual(data: &Data, kind: JoinKind) -> Rows {
    let is_match =
        |fact: &Fact, dim: &Dim| same_key(fact, dim) && dim.weight > i64::from(fact.kind);
    joined_rows(pairs(data, kind, is_match))
}

pub fn null_equals_null(data: &Data) -> Rows {
    let pairs = pairs(data, JoinKind::Right, |fact, dim| fact.key == dim.key);
    let mut rows = joined_rows(pairs);
    rows.iter_mut().for_each(|row| drop(row.remove(1)));
    rows
}

fn has_match(data: &Data, fact: &Fact) -> bool {
    data.dims.iter().any(|dim| same_key(fact, dim))
}

pub fn matched(data: &Data, wanted: bool) -> Rows {
    let facts = data.facts.iter();
    let kept = facts.filter(|fact| has_match(data, fact) == wanted);
    kept.map(|fact| vec![integer(fact.id), text(fact.name.as_ref())])
        .collect()
}

pub fn marked(data: &Data) -> Rows {
    let row = |fact: &Fact| vec![integer(fact.id), Value::Boolean(has_match(data, fact))];
    data.facts.iter().map(row).collect()
}

pub fn crossed(data: &Data) -> Rows {
    let few = data.few.iter();
    few.flat_map(|one| {
        let row = move |two: &Dim| {
            vec![
                text(one.label.as_ref()),
                integer(one.weight),
                integer(two.weight),
            ]
        };
        data.few.iter().map(row)
    })
    .collect()
}

pub fn unequal(data: &Data) -> Rows {
    let mut rows = Rows::new();
    for one in &data.dims {
        for two in &data.few {
            if two.weight > one.weight + 5 {
                let (label, right) = (text(one.label.as_ref()), text(two.label.as_ref()));
                rows.push(vec![label, integer(one.weight), right]);
            }
        }
    }
    rows
}

pub fn sorted(data: &Data) -> Rows {
    let mut facts: Vec<&Fact> = data.facts.iter().collect();
    facts.sort_by(|one, two| {
        let names = match (&one.name, &two.name) {
            (Some(a), Some(b)) => b.as_bytes().cmp(a.as_bytes()),
            (a, b) => a.is_some().cmp(&b.is_some()),
        };
        let amounts = amount_order(one, two);
        names.then(amounts).then(one.id.cmp(&two.id))
    });
    let row = |fact: &&Fact| {
        vec![
            integer(fact.id),
            text(fact.name.as_ref()),
            maybe(fact.amount),
        ]
    };
    facts.iter().map(row).collect()
}

/// Ascending, nulls where an ascending key has them.
fn amount_order(one: &Fact, two: &Fact) -> std::cmp::Ordering {
    let is_null = one.amount.is_none().cmp(&two.amount.is_none());
    is_null.then(one.amount.cmp(&two.amount))
}

pub fn stable(data: &Data) -> Rows {
    let mut facts: Vec<&Fact> = data.facts.iter().collect();
    facts.sort_by_key(|fact| -fact.kind);
    let row = |fact: &&Fact| vec![integer(fact.kind), integer(fact.id)];
    facts.iter().map(row).collect()
}

pub fn stable_top(data: &Data) -> Rows {
    let mut rows = stable(data);
    rows.truncate(50);
    rows
}

/// By name, the first row and the last one in the stable order of the kinds.
pub fn firsts(data: &Data) -> Rows {
    let mut facts: Vec<&Fact> = data.facts.iter().collect();
    facts.sort_by_key(|fact| fact.kind);
    let (mut firsts, mut lasts) = (BTreeMap::new(), BTreeMap::new());
    for fact in facts {
        firsts.entry(&fact.name).or_insert(fact.id);
        lasts.insert(&fact.name, fact.id);
    }
    let all = firsts.into_iter().chain(lasts);
    let row = |(name, id): (&Option<String>, i64)| vec![text(name.as_ref()), integer(id)];
    all.map(row).collect()
}

pub fn top(data: &Data) -> Rows {
    let mut facts: Vec<&Fact> = data.facts.iter().collect();
    facts.sort_by(|one, two| two.ratio.total_cmp(&one.ratio).then(one.id.cmp(&two.id)));
    let row = |fact: &&Fact| vec![integer(fact.id), Value::Float(fact.ratio)];
    facts.iter().take(17).map(row).collect()
}

pub fn slice(data: &Data) -> Rows {
    let mut facts: Vec<&Fact> = data.facts.iter().collect();
    facts.sort_by(|one, two| amount_order(one, two).then(one.id.cmp(&two.id)));
    let rows = facts.iter().skip(150).take(100);
    rows.map(|fact| vec![integer(fact.id)]).collect()
}

pub fn ranked(data: &Data) -> Rows {
    let mut facts: Vec<&Fact> = data.facts.iter().collect();
    facts.sort_by(|one, two| {
        // Descending, nulls where a descending key has them.
        let is_null = one.amount.is_none().cmp(&two.amount.is_none());
        let amounts = is_null.then(two.amount.cmp(&one.amount));
        amounts.then(one.id.cmp(&two.id))
    });
    let (mut numbers, mut totals) = (BTreeMap::new(), BTreeMap::new());
    for fact in &facts {
        *totals.entry(fact.kind).or_insert(0) += fact.amount.unwrap_or(0);
    }
    let mut row = |fact: &&Fact| {
        let number = numbers.entry(fact.kind).or_insert(0i64);
        *number += 1;
        vec![
            integer(fact.id),
            integer(*number),
            integer(totals[&fact.kind]),
        ]
    };
    facts.iter().map(&mut row).collect()
}

pub fn united(data: &Data) -> Rows {
    let times = |fact: &Fact| 1 + usize::from(fact.kind == 1) + usize::from(fact.kind > 4);
    let facts = data.facts.iter();
    let rows = facts.flat_map(|fact| {
        let row = vec![integer(fact.id), text(fact.name.as_ref())];
        std::iter::repeat_n(row, times(fact))
    });
    rows.collect()
}

pub fn first_of_table(data: &Data) -> Rows {
    let facts = data.facts.iter().filter(|fact| fact.kind > 1);
    let row = |fact: &Fact| vec![integer(fact.id), integer(fact.kind)];
    facts.skip(10).take(30).map(row).collect()
}
