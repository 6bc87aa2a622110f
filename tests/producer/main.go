// Producer sends records of the specification's own Go types to the dualaudit server whose base URL is
// its argument, and compares what comes back field for field. It ends with 0 only if all of it holds.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"reflect"
	"time"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: producer URL")
		os.Exit(2)
	}
	server := os.Args[1]
	for _, check := range []func(string) error{fullComesBack, scantComesBack, zeroTimeIsRefused} {
		if err := check(server); err != nil {
			fmt.Fprintln(os.Stderr, "producer:", err)
			os.Exit(1)
		}
	}
	fmt.Println("every field came back; the zero time was refused")
}

// Nothing left out: nanoseconds, zones, messages, retries, adjustments.
func fullComesBack(server string) error {
	ended := time.Date(2026, 5, 1, 14, 3, 9, 123456789, time.FixedZone("", 5*3600+1800))
	return comesBack(server, WorkflowExecutionAudit{
		ID:                 "go-full",
		RemediationID:      "rem-42",
		WorkflowName:       "rollback-release",
		WorkflowVersion:    "v3.1.4",
		TotalSteps:         3,
		StepsCompleted:     2,
		StepsFailed:        1,
		TotalDuration:      2*time.Minute + 3*time.Nanosecond,
		Outcome:            "partial",
		EffectivenessScore: 0.625,
		RollbacksPerformed: 1,
		StepExecutions: []StepExecutionAudit{
			{StepNumber: 1, Action: "scale", Duration: 90 * time.Second, Status: "completed"},
			{StepNumber: 2, Action: "drain <node> & \u2028 wait", Duration: 1, Status: "completed", RetriesAttempted: 2},
			{StepNumber: 3, Action: "verify", Status: "failed", ErrorMessage: "no quorum: 2 of 5 \"ready\""},
		},
		AdaptiveAdjustments: []AdaptiveAdjustment{
			{StepNumber: 2, AdjustmentType: "timeout", Reason: "the node was slow", Timestamp: ended.Add(-time.Minute)},
			{StepNumber: 3, AdjustmentType: "retry", Reason: "", Timestamp: ended.UTC()},
		},
		CompletedAt:  ended,
		Status:       "failed",
		ErrorMessage: "step 3 failed",
	})
}

// Nil slices, which Go writes as null, and no message, which it leaves out.
func scantComesBack(server string) error {
	return comesBack(server, WorkflowExecutionAudit{
		ID:                 "go-scant",
		RemediationID:      "rem-43",
		WorkflowName:       "noop",
		WorkflowVersion:    "v1",
		Outcome:            "success",
		EffectivenessScore: 1,
		CompletedAt:        time.Date(2026, 5, 1, 12, 0, 0, 999_999_999, time.Local),
		Status:             "completed",
	})
}

func comesBack(server string, sent WorkflowExecutionAudit) error {
	status, body, err := post(server, sent)
	if err != nil {
		return err
	}
	if status != http.StatusCreated {
		return fmt.Errorf("%s: sent, expected 201, got %d: %s", sent.ID, status, body)
	}
	response, err := http.Get(server + "/api/v1/executions/" + sent.ID)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var found struct{ Record WorkflowExecutionAudit }
	if err := json.NewDecoder(response.Body).Decode(&found); err != nil {
		return fmt.Errorf("%s: asked for, got %d: %w", sent.ID, response.StatusCode, err)
	}
	expected, got := asKept(sent), asKept(found.Record)
	if !reflect.DeepEqual(expected, got) {
		return fmt.Errorf("%s: sent\n  %+v\ncame back as\n  %+v", sent.ID, expected, got)
	}
	return nil
}

// asKept brings times to UTC and the microsecond, to which they are kept, and nil slices to empty
// ones, which say the same.
func asKept(record WorkflowExecutionAudit) WorkflowExecutionAudit {
	kept := func(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
	record.CompletedAt = kept(record.CompletedAt)
	record.StepExecutions = append([]StepExecutionAudit{}, record.StepExecutions...)
	record.AdaptiveAdjustments = append([]AdaptiveAdjustment{}, record.AdaptiveAdjustments...)
	for i := range record.AdaptiveAdjustments {
		record.AdaptiveAdjustments[i].Timestamp = kept(record.AdaptiveAdjustments[i].Timestamp)
	}
	return record
}

// Go's zero time is what a producer sends that forgot to set it.
func zeroTimeIsRefused(server string) error {
	forgetful := WorkflowExecutionAudit{ID: "go-zero", WorkflowName: "noop", Status: "completed", Outcome: "success"}
	status, body, err := post(server, forgetful)
	if err != nil {
		return err
	}
	var problem struct{ Type, Field, Rule, Detail string }
	if err := json.Unmarshal(body, &problem); err != nil {
		return fmt.Errorf("the zero time: no problem document: %s", body)
	}
	if status != http.StatusUnprocessableEntity || problem.Field != "completed_at" || problem.Rule == "" {
		return fmt.Errorf("the zero time: expected 422 about completed_at, got %d: %s", status, body)
	}
	response, err := http.Get(server + "/api/v1/executions/" + forgetful.ID)
	if err != nil {
		return err
	}
	response.Body.Close()
	if response.StatusCode != http.StatusNotFound {
		return fmt.Errorf("the zero time: refused, and yet there: %d", response.StatusCode)
	}
	return nil
}

func post(server string, record WorkflowExecutionAudit) (int, []byte, error) {
	text, err := json.Marshal(record)
	if err != nil {
		return 0, nil, err
	}
	response, err := http.Post(server+"/api/v1/executions", "application/json", bytes.NewReader(text))
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, body, err
}
