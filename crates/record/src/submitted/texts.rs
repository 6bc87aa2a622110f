//! All texts of a submitted record.

use super::Submitted;

impl Submitted {
    /// Replaces U+0000 by U+FFFD in every text, label keys included.
    ///
    /// For records mapped from resources: one character that PostgreSQL can't keep must not cost
    /// the record, and the source object still has it. Producers get an error instead.
    pub fn replace_nul(&mut self) {
        let has_nul = |text: &String| text.contains('\0');
        if self.labels.iter().any(|(key, value)| has_nul(key) || has_nul(value)) {
            self.labels = std::mem::take(&mut self.labels)
                .into_iter()
                .map(|(key, value)| (key.replace('\0', "\u{fffd}"), value.replace('\0', "\u{fffd}")))
                .collect();
        }
        for text in self.texts().into_iter().flatten().filter(|text| has_nul(text)) {
            *text = text.replace('\0', "\u{fffd}");
        }
    }

    /// Every text but the labels.
    fn texts(&mut self) -> Vec<&mut Option<String>> {
        // Taken apart without `..`: a field added later must be placed here too.
        let Self {
            id,
            attempt: _,
            remediation_id,
            workflow_name,
            workflow_version,
            total_steps: _,
            steps_completed: _,
            steps_failed: _,
            total_duration: _,
            outcome,
            effectiveness_score: _,
            rollbacks_performed: _,
            step_executions,
            adaptive_adjustments,
            completed_at: _,
            status,
            error_message,
            created_at: _,
            cluster,
            namespace,
            name,
            source,
            started_at: _,
            queued_duration: _,
            incident_type,
            target,
            labels: _,
        } = self;
        let mut texts = vec![id, remediation_id, workflow_name, workflow_version, outcome, status];
        texts.extend([error_message, cluster, namespace, name, incident_type]);
        for step in step_executions {
            texts.extend([&mut step.action, &mut step.status, &mut step.error_message, &mut step.name]);
        }
        for change in adaptive_adjustments {
            texts.extend([&mut change.adjustment_type, &mut change.reason, &mut change.from, &mut change.to]);
        }
        if let Some(source) = source {
            texts.extend([&mut source.api_version, &mut source.kind, &mut source.uid]);
        }
        if let Some(target) = target {
            let kind = [&mut target.api_version, &mut target.kind];
            texts.extend(kind.into_iter().chain([&mut target.namespace, &mut target.name]));
        }
        texts
    }
}

#[cfg(test)]
mod tests {
    use super::Submitted;

    #[test]
    fn nul_is_replaced_in_every_text() {
        let text = r#"{"id":"N","remediation_id":"N","workflow_name":"N","workflow_version":"N",
            "outcome":"N","status":"N","error_message":"N","cluster":"N","namespace":"N","name":"N",
            "incident_type":"N","labels":{"aN":"N"},
            "source":{"api_version":"N","kind":"N","uid":"N"},
            "target":{"api_version":"N","kind":"N","namespace":"N","name":"N"},
            "step_executions":[{"action":"N","status":"N","error_message":"N","name":"N"}],
            "adaptive_adjustments":[{"adjustment_type":"N","reason":"N","from":"N","to":"N"}]}"#;
        let read = |with: &str| Submitted::from_json(text.replace('N', with).as_bytes()).unwrap();
        let mut submitted = read(r"x\u0000y\u0000");
        submitted.replace_nul();
        assert_eq!(submitted, read("x\u{fffd}y\u{fffd}"));
    }
}
