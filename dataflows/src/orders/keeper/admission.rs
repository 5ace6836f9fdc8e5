//! Facts as they come to a keeper: placed with their order, judged, kept, counted.
//!
//! Invariant: facts of one order come in the order of their logical times; those of one time come together and make one
//! change. `admit.rs` has the rules.

use super::super::Detail;
use super::super::admit::{self, Judgement, Place};
use super::super::contribution::Share;
use super::super::order::{Order, Progress};
use super::super::parcel::Delivery;
use super::change::Before;
use super::{Keeper, Purpose};
use crate::time::{Time, Window};
use crate::views::dead_letters::Refusal;
use crate::views::quality::{self, QualityKey};
use crate::views::record_law;

impl Keeper {
    /// Admits deliveries of one order and one logical time; the order's number, which is `likely` the one given.
    pub(super) fn admit(&mut self, deliveries: &[Delivery<'_>], likely: Option<u32>) -> Option<u32> {
        let (mut placed, mut before) = (None, None);
        for delivery in deliveries {
            let known = placed.filter(|_| !delivery.too_late);
            let Some(number) = known.or_else(|| self.place(delivery, likely)) else { continue };
            placed = Some(number);
            let judgement = self.registry.judge(number, delivery);
            if before.is_none() && matches!(judgement, Judgement::Accepted | Judgement::Displaces(_)) {
                before = Some(self.prepare_change(number, deliveries, judgement));
            }
            self.keep(number, delivery, judgement, delivery.time);
        }
        if let (Some(number), Some(delivery)) = (placed, deliveries.first()) {
            if let Some(before) = before {
                self.change(number, [delivery.time; 2], before);
            }
            self.rest(number, delivery.time);
        }
        placed
    }

    /// The order that a delivery belongs to, started where it is new; none where the delivery is refused.
    fn place(&mut self, delivery: &Delivery<'_>, likely: Option<u32>) -> Option<u32> {
        let place = self.registry.place(delivery.key, likely, delivery.time, &self.law.settings);
        if place == Place::Retired || delivery.too_late {
            if place == Place::Retired {
                self.refuse(delivery, Refusal::OrderRetired);
            }
            if delivery.too_late {
                self.refuse(delivery, Refusal::TooLate);
            }
            self.contributions.count_fact(delivery.time, &record_law::REFUSED);
            return None;
        }
        match place {
            Place::Alive(number) => {
                self.wake(number, delivery.time);
                return Some(number);
            }
            Place::Outlived(number) => {
                self.known_until = self.known_until.max(delivery.outline.at);
                // The last of these retires the order.
                self.fire_order_until(number, delivery.time);
            }
            Place::Absent | Place::Retired => {}
        }
        Some(self.registry.start(delivery))
    }

    /// Brings an order up to the time just before its deliveries, of which the first that changes it is judged; how it stood
    /// then.
    fn prepare_change(&mut self, number: u32, deliveries: &[Delivery<'_>], judgement: Judgement) -> Before {
        let time = deliveries.first().map_or(0, |delivery| delivery.time).saturating_sub(1);
        let earliest = deliveries.iter().map(|delivery| delivery.outline.at).min();
        self.known_until = self.known_until.max(earliest.unwrap_or(0));
        self.fire_order_until(number, time);
        if let (Some(epochs), Some(order)) = (&mut self.epochs, self.registry.get_mut(number)) {
            epochs.touch(number, order, &self.law, time.saturating_add(1));
        }
        self.after.clear();
        self.is_whole = false;
        let Some(order) = self.registry.get(number) else { return Before::Share(Share::default()) };
        let share = order.progress().map_or_else(Share::default, Progress::share);
        let is_displacing = |judgement| matches!(judgement, Judgement::Displaces(_));
        let displaces = is_displacing(judgement)
            || deliveries.len() > 1
                && deliveries.iter().any(|delivery| is_displacing(self.registry.judge(number, delivery)));
        let shows_each = self.purpose == Purpose::Show(Detail::Changes) && self.epochs.is_none();
        if (shows_each || displaces)
            && let Some(order) = self.registry.get(number)
        {
            self.before.evaluate(order.tenant, &order.facts, &self.law, time);
            return Before::View;
        }
        Before::Share(share)
    }

    /// Keeps a judged fact and counts it, as of `time`.
    pub(super) fn keep(&mut self, number: u32, delivery: &Delivery<'_>, judgement: Judgement, time: Time) {
        let Some(order) = self.registry.get_mut(number) else { return };
        let (accepted, counted) = match judgement {
            Judgement::Duplicate => {
                let closes =
                    Window::Minute.closes(Window::Minute.start(delivery.record_at), self.law.settings.stays_ms());
                if closes.is_none_or(|closes| delivery.time <= closes) {
                    let minute = QualityKey::new(self.law.source(delivery.fact().position), Some(delivery.record_at));
                    self.quality.give(time, minute, &quality::DUPLICATE);
                }
                (false, record_law::DUPLICATE)
            }
            Judgement::Loses => {
                self.registry.keep(number, delivery, true);
                self.refuse(delivery, Refusal::ConflictingDuplicate);
                (false, record_law::REFUSED)
            }
            Judgement::Displaces(offset) => {
                let displaced = admit::refused(&order.facts.at(offset), Refusal::ConflictingDuplicate);
                if self.purpose == Purpose::Admit {
                    let loser = order.facts.standalone(offset);
                    self.emitted.facts.push(((order.life(), loser), delivery.time, -1));
                }
                order.facts.mark_loser(offset as usize);
                self.registry.keep(number, delivery, false);
                self.is_whole = true;
                self.emitted.refused.push((displaced, delivery.time, 1));
                // The displaced fact was counted as accepted: this one takes its place.
                (true, record_law::REFUSED)
            }
            Judgement::Accepted => {
                let offset = self.registry.keep(number, delivery, false);
                self.after.add_line(offset, &delivery.outline);
                let awake = self.registry.get_mut(number).and_then(Order::awake);
                self.is_whole |= awake.is_none_or(|(_, progress)| {
                    !progress.state.extend(&delivery.outline, self.law.settings.transitions)
                });
                (true, record_law::ACCEPTED)
            }
        };
        if accepted && let Some(order) = self.registry.get_mut(number) {
            order.accepted_at = order.accepted_at.max(delivery.time);
            if self.purpose == Purpose::Admit {
                self.emitted.facts.push(((order.life(), delivery.packed.to_vec()), delivery.time, 1));
            }
            self.known_until = self.known_until.max(delivery.outline.at);
        }
        self.contributions.count_fact(time, &counted);
    }

    fn refuse(&mut self, delivery: &Delivery<'_>, reason: Refusal) {
        self.emitted.refused.push((admit::refused(&delivery.fact(), reason), delivery.time, 1));
    }
}
