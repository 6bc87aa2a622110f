//! Slices as bytes: numbers as in postcard (LEB128, signed ones in zigzag), lists with their length before them, and
//! texts as the numbers that [`Texts`] gives them. They are read by adding them to a cell.

use std::collections::HashMap;

use super::Slice;
use crate::{
    entry::Verdict,
    execution::{AdjustmentType, Outcome, ScoreSource, Status, StepStatus},
    statistics::{
        Cell, Counts, Ended, Hour, Part, RunsCell, Scores, Sketch, Sorted, StepCell, StratumCell, Timed,
    },
};

/// The texts of some cells, each once.
#[derive(Debug, Default)]
pub struct Texts {
    texts: Vec<String>,
    places: HashMap<String, u64>,
}

impl Texts {
    /// These, in this order.
    pub fn of(texts: &[&str]) -> Self {
        let texts: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
        let places = texts.iter().zip(0..).map(|(text, place)| (text.clone(), place)).collect();
        Self { texts, places }
    }

    /// All of them, in the order of their numbers.
    pub fn all(&self) -> &[String] {
        &self.texts
    }

    fn place(&mut self, text: &str) -> u64 {
        if let Some(&place) = self.places.get(text) {
            return place;
        }
        let place = self.texts.len() as u64;
        self.texts.push(text.to_owned());
        self.places.insert(text.to_owned(), place);
        place
    }
}

/// The bytes are no such slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a cell that makes no sense")]
pub struct NoSlice;

impl Slice {
    /// Writes this slice of a cell of its view.
    ///
    /// # Panics
    /// When it is of another view.
    pub fn write(self, cell: &Cell, texts: &mut Texts, bytes: &mut Vec<u8>) {
        let mut to = Writer { bytes };
        match (self, cell) {
            (Self::Workflows | Self::Runs, Cell::Runs(cell)) => to.runs(cell),
            (Self::WorkflowsSpread | Self::RunsSpread, Cell::Runs(cell)) => {
                to.list(&cell.durations, |to, outcome, timed| {
                    to.outcome(*outcome);
                    to.timed(timed);
                });
                to.timed(&cell.queued);
            }
            (Self::Steps, Cell::Step(cell)) => to.step(cell),
            (Self::StepsSpread, Cell::Step(cell)) => to.sketch(&cell.completed),
            (Self::Strata, Cell::Stratum(cell)) => to.ended(&cell.ended),
            (Self::StrataSteps, Cell::Stratum(cell)) => {
                to.list(&cell.steps, |to, (number, action), step| {
                    to.number(u64::from(*number));
                    to.number(texts.place(action));
                    to.step(step);
                });
                to.list(&cell.adjusted, |to, (number, action, kind), counts| {
                    to.number(u64::from(*number));
                    to.number(texts.place(action));
                    to.one_of(AdjustmentType::ALL, kind);
                    to.outcomes(counts);
                });
            }
            (Self::StrataSpread, Cell::Stratum(cell)) => {
                to.sketch(&cell.successful);
                to.list(&cell.steps, |to, (number, action), step| {
                    to.number(u64::from(*number));
                    to.number(texts.place(action));
                    to.sketch(&step.completed);
                });
            }
            (Self::Texts, Cell::Texts(cell)) => {
                let mut last = 0;
                to.list(&cell.days, |to, day, count| {
                    to.signed((day.number() - last).into());
                    to.signed(*count);
                    last = day.number();
                });
            }
            _ => unreachable!("a slice of the cells of another view"),
        }
    }

    /// Adds what was written of a cell of its view to a cell; of a part, perhaps no more than that.
    ///
    /// # Errors
    /// When the bytes are no such slice. Some of it may have been added.
    ///
    /// # Panics
    /// When it is of another view.
    pub fn add(self, bytes: &[u8], texts: &[&str], part: Part, cell: &mut Cell) -> Result<(), NoSlice> {
        let mut from = Reader { bytes, texts };
        match (self, cell) {
            (Self::Workflows | Self::Runs, Cell::Runs(cell)) => {
                if from.runs(part, cell)? == Read::Enough {
                    return Ok(());
                }
            }
            (Self::WorkflowsSpread | Self::RunsSpread, Cell::Runs(cell)) => {
                let of_successful = matches!(part, Part::Successful | Part::EndedAndSuccessful);
                for _ in 0..from.length()? {
                    let outcome = from.one_of(Outcome::ALL)?;
                    if of_successful && outcome != Outcome::Success {
                        // The others follow.
                        return Ok(());
                    }
                    cell.durations.try_change(
                        |it| it.cmp(&outcome),
                        || outcome,
                        |timed| from.timed(timed),
                    )?;
                }
                if of_successful {
                    return Ok(());
                }
                from.timed(&mut cell.queued)?;
            }
            (Self::Steps, Cell::Step(cell)) => from.step(cell)?,
            (Self::StepsSpread, Cell::Step(cell)) => from.sketch(&mut cell.completed)?,
            (Self::Strata, Cell::Stratum(cell)) => from.ended(&mut cell.ended)?,
            (Self::StrataSteps, Cell::Stratum(cell)) => {
                from.steps(cell, Reader::step)?;
                for _ in 0..from.length()? {
                    let (number, action) = (from.small()?, from.text()?);
                    let kind = from.one_of(AdjustmentType::ALL)?;
                    cell.adjusted.try_change(
                        |(other, of, other_kind)| {
                            (*other, of.as_str(), *other_kind).cmp(&(number, action, kind))
                        },
                        || (number, action.to_owned(), kind),
                        |counts| from.counts(counts, Reader::outcome),
                    )?;
                }
            }
            (Self::StrataSpread, Cell::Stratum(cell)) => {
                from.sketch(&mut cell.successful)?;
                from.steps(cell, |from, step| from.sketch(&mut step.completed))?;
            }
            (Self::Texts, Cell::Texts(cell)) => {
                let mut last = 0_i64;
                for _ in 0..from.length()? {
                    last = last.checked_add(from.signed()?).ok_or(NoSlice)?;
                    let day = i32::try_from(last).ok().and_then(Hour::from_number).ok_or(NoSlice)?;
                    cell.days.add(day, from.signed()?);
                }
            }
            _ => unreachable!("a slice of the cells of another view"),
        }
        if from.bytes.is_empty() { Ok(()) } else { Err(NoSlice) }
    }
}

/// Whether all was read, or all that is needed.
#[derive(PartialEq, Eq)]
enum Read {
    All,
    Enough,
}

struct Writer<'a> {
    bytes: &'a mut Vec<u8>,
}

impl Writer<'_> {
    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes.push(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        self.bytes.push(number.to_le_bytes()[0]);
    }

    fn signed(&mut self, number: i64) {
        self.number(((number << 1) ^ (number >> 63)).cast_unsigned());
    }

    /// Low and high half; the high one is mostly the sign of the low.
    fn wide(&mut self, number: i128) {
        #[expect(clippy::cast_possible_truncation, reason = "its lower half")]
        let low = number as i64;
        self.signed(low);
        let high = (number >> 64) - i128::from(low >> 63);
        self.signed(i64::try_from(high).expect("what is left is the upper half"));
    }

    fn one_of<T: PartialEq>(&mut self, all: &[T], one: &T) {
        let place = all.iter().position(|other| other == one).expect("it is one of all");
        self.number(place as u64);
    }

    fn outcome(&mut self, outcome: Outcome) {
        self.one_of(Outcome::ALL, &outcome);
    }

    fn list<K, V>(&mut self, map: &Sorted<K, V>, mut write: impl FnMut(&mut Self, &K, &V)) {
        self.number(map.len() as u64);
        map.iter().for_each(|(key, value)| write(self, key, value));
    }

    fn outcomes(&mut self, counts: &Counts<Outcome>) {
        self.list(counts, |to, outcome, count| {
            to.outcome(*outcome);
            to.signed(*count);
        });
    }

    fn ended(&mut self, counts: &Counts<Ended>) {
        self.list(counts, |to, ended, count| {
            to.outcome(ended.outcome);
            to.one_of(Status::ALL, &ended.status);
            to.signed(*count);
        });
    }

    fn runs(&mut self, cell: &RunsCell) {
        let RunsCell {
            ended,
            scores,
            rollbacks,
            rolled_back,
            retries,
            retried,
            verdicts,
            durations: _,
            queued: _,
        } = cell;
        self.ended(ended);
        self.list(scores, |to, source, scores| {
            to.one_of(ScoreSource::ALL, source);
            let Scores { count, sum, squares } = scores;
            [count, sum, squares].into_iter().for_each(|&number| to.signed(number));
        });
        [rollbacks, rolled_back, retries, retried].into_iter().for_each(|&number| self.signed(number));
        self.list(verdicts, |to, (verdict, outcome), count| {
            to.one_of(Verdict::ALL, verdict);
            to.outcome(*outcome);
            to.signed(*count);
        });
    }

    fn step(&mut self, step: &StepCell) {
        let StepCell { reached, ended, broke, retries, time, completed: _ } = step;
        self.outcomes(reached);
        self.list(ended, |to, (status, retries), count| {
            to.one_of(StepStatus::ALL, status);
            to.number((*retries).into());
            to.signed(*count);
        });
        self.signed(*broke);
        self.signed(*retries);
        self.wide(*time);
    }

    fn sketch(&mut self, sketch: &Sketch) {
        let gaps = sketch.gaps();
        self.number(gaps.len() as u64);
        for (gap, count) in gaps {
            self.number(gap.into());
            self.signed(count);
        }
    }

    fn timed(&mut self, timed: &Timed) {
        self.wide(timed.sum);
        self.sketch(&timed.sketch);
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    texts: &'a [&'a str],
}

impl<'a> Reader<'a> {
    #[inline]
    fn number(&mut self) -> Result<u64, NoSlice> {
        let (&first, rest) = self.bytes.split_first().ok_or(NoSlice)?;
        self.bytes = rest;
        if first < 0x80 {
            return Ok(first.into());
        }
        let mut number = u64::from(first & 0x7f);
        for shift in (7..64).step_by(7) {
            let (&byte, rest) = self.bytes.split_first().ok_or(NoSlice)?;
            self.bytes = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(NoSlice)
    }

    #[inline]
    fn signed(&mut self) -> Result<i64, NoSlice> {
        let number = self.number()?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    fn wide(&mut self) -> Result<i128, NoSlice> {
        let low = self.signed()?;
        let high = i128::from(self.signed()?) + i128::from(low >> 63);
        Ok((high << 64) | i128::from(low.cast_unsigned()))
    }

    fn small<T: TryFrom<u64>>(&mut self) -> Result<T, NoSlice> {
        T::try_from(self.number()?).map_err(|_| NoSlice)
    }

    /// How many of something follow, of which each takes a byte at least.
    fn length(&mut self) -> Result<usize, NoSlice> {
        let length = self.small()?;
        if length > self.bytes.len() { Err(NoSlice) } else { Ok(length) }
    }

    fn text(&mut self) -> Result<&'a str, NoSlice> {
        let place: usize = self.small()?;
        self.texts.get(place).copied().ok_or(NoSlice)
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> Result<T, NoSlice> {
        let place: usize = self.small()?;
        all.get(place).copied().ok_or(NoSlice)
    }

    fn outcome(&mut self) -> Result<Outcome, NoSlice> {
        self.one_of(Outcome::ALL)
    }

    fn counts<K: Ord + Copy>(
        &mut self,
        counts: &mut Counts<K>,
        key: impl Fn(&mut Self) -> Result<K, NoSlice>,
    ) -> Result<(), NoSlice> {
        for _ in 0..self.length()? {
            let key = key(self)?;
            counts.add(key, self.signed()?);
        }
        Ok(())
    }

    fn ended(&mut self, counts: &mut Counts<Ended>) -> Result<(), NoSlice> {
        self.counts(counts, |from| Ok(Ended { outcome: from.outcome()?, status: from.one_of(Status::ALL)? }))
    }

    fn runs(&mut self, part: Part, cell: &mut RunsCell) -> Result<Read, NoSlice> {
        self.ended(&mut cell.ended)?;
        if matches!(part, Part::Ended | Part::EndedAndSuccessful) {
            return Ok(Read::Enough);
        }
        for _ in 0..self.length()? {
            let source = self.one_of(ScoreSource::ALL)?;
            let more = Scores { count: self.signed()?, sum: self.signed()?, squares: self.signed()? };
            cell.scores.change(source, |scores| scores.merge(&more, 1));
        }
        for sum in [&mut cell.rollbacks, &mut cell.rolled_back, &mut cell.retries, &mut cell.retried] {
            *sum += self.signed()?;
        }
        self.counts(&mut cell.verdicts, |from| Ok((from.one_of(Verdict::ALL)?, from.outcome()?)))?;
        Ok(Read::All)
    }

    fn step(&mut self, step: &mut StepCell) -> Result<(), NoSlice> {
        self.counts(&mut step.reached, Self::outcome)?;
        self.counts(&mut step.ended, |from| Ok((from.one_of(StepStatus::ALL)?, from.small()?)))?;
        step.broke += self.signed()?;
        step.retries += self.signed()?;
        step.time += self.wide()?;
        Ok(())
    }

    /// Adds to each step that follows.
    fn steps(
        &mut self,
        cell: &mut StratumCell,
        add: impl Fn(&mut Self, &mut StepCell) -> Result<(), NoSlice>,
    ) -> Result<(), NoSlice> {
        for _ in 0..self.length()? {
            let (number, action) = (self.small()?, self.text()?);
            cell.steps.try_change(
                |(other, of)| (*other, of.as_str()).cmp(&(number, action)),
                || (number, action.to_owned()),
                |step| add(self, step),
            )?;
        }
        Ok(())
    }

    fn sketch(&mut self, sketch: &mut Sketch) -> Result<(), NoSlice> {
        let length = self.length()?;
        let mut read = Ok(());
        let gaps = (0..length).map_while(|_| {
            let gap = self.small().and_then(|gap| Ok((gap, self.signed()?)));
            gap.map_err(|error| read = Err(error)).ok()
        });
        let is_whole = sketch.add_gaps(gaps);
        read?;
        if is_whole { Ok(()) } else { Err(NoSlice) }
    }

    fn timed(&mut self, timed: &mut Timed) -> Result<(), NoSlice> {
        timed.sum += self.wide()?;
        self.sketch(&mut timed.sketch)
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::{
        statistics::{Bucket, Contribution, Level, Sums, View},
        testing,
    };

    fn sums(records: &[crate::WorkflowExecutionAudit]) -> Sums {
        let mut sums = Sums::default();
        for (record, &verdict) in records.iter().zip(Verdict::ALL.iter().cycle()) {
            let contribution = Contribution::of(record).reviewed(Some(verdict));
            sums.give_to(Bucket::of(contribution.hour, Level::Month), &contribution, 1);
        }
        sums
    }

    /// A cell as it comes back from the bytes of its slices.
    fn read(view: View, cell: &Cell, part: Part) -> Cell {
        let mut read = view.zero();
        for (slice, sliced) in cell.clone().sliced(view) {
            assert_eq!(slice.view(), view);
            let (mut texts, mut bytes) = (Texts::default(), Vec::new());
            slice.write(&sliced, &mut texts, &mut bytes);
            if view.slices(part).contains(&slice) {
                let texts: Vec<&str> = texts.all().iter().map(String::as_str).collect();
                slice.add(&bytes, &texts, part, &mut read).unwrap();
                for cut in [0, bytes.len() / 3, bytes.len() / 2] {
                    let _ = slice.add(&bytes[..cut], &texts, part, &mut view.zero());
                }
            }
        }
        read
    }

    #[test]
    fn what_is_no_slice_is_told() {
        let add = |slice: Slice, bytes: &[u8]| slice.add(bytes, &["a"], Part::All, &mut slice.view().zero());
        assert_eq!(add(Slice::Strata, &[1, 0, 0, 2]), Ok(()));
        for bytes in [&[][..], &[1, 0, 0], &[1, 9, 0, 2], &[1, 0, 0, 2, 0], &[200, 200, 200, 200, 1]] {
            assert_eq!(add(Slice::Strata, bytes), Err(NoSlice), "{bytes:?}");
        }
        assert_eq!(add(Slice::StrataSteps, &[1, 1, 1, 0, 0, 0, 0, 0, 0, 0]), Err(NoSlice), "no such text");
        assert_eq!(
            add(Slice::StepsSpread, &[2, 0, 2, 255, 255, 3, 2]),
            Err(NoSlice),
            "a bin beyond the last"
        );
    }

    proptest! {
        #[test]
        fn cells_come_back_from_the_bytes_of_their_slices(records in vec(testing::record(), 1..5)) {
            for ((view, ..), cell) in sums(&records).iter() {
                for part in
                    [Part::Ended, Part::Counts, Part::Successful, Part::EndedAndSuccessful, Part::All]
                {
                    let mut expected = cell.clone();
                    expected.keep(part);
                    let mut read = read(*view, cell, part);
                    read.keep(part);
                    prop_assert_eq!(read, expected);
                }
            }
        }

        #[test]
        fn what_is_read_twice_is_twice_as_much_and_with_its_negative_nothing(
            records in vec(testing::record(), 1..5),
        ) {
            for ((view, ..), cell) in sums(&records).iter() {
                let mut twice = view.zero();
                twice.merge(cell, 2);
                let mut negative = view.zero();
                negative.merge(cell, -1);
                let mut sum = view.zero();
                for cell in [cell, cell, &negative, &negative] {
                    for (slice, sliced) in cell.clone().sliced(*view) {
                        let (mut texts, mut bytes) = (Texts::default(), Vec::new());
                        slice.write(&sliced, &mut texts, &mut bytes);
                        let texts: Vec<&str> = texts.all().iter().map(String::as_str).collect();
                        slice.add(&bytes, &texts, Part::All, &mut sum).unwrap();
                    }
                    if sum == twice {
                        twice = view.zero();
                    }
                }
                prop_assert!(twice.is_zero() && sum.is_zero());
            }
        }

        #[test]
        fn wide_numbers_come_back(number in any::<i128>(), signed in any::<i64>()) {
            let mut bytes = Vec::new();
            let mut to = Writer { bytes: &mut bytes };
            // Sums are of fewer than 2^64 numbers below 2^53.
            let number = number >> 2;
            to.wide(number);
            to.signed(signed);
            let mut from = Reader { bytes: &bytes, texts: &[] };
            prop_assert_eq!(from.wide(), Ok(number));
            prop_assert_eq!(from.signed(), Ok(signed));
        }
    }
}
