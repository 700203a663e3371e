package quota_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/quota"
)

// table is a store of one map, with the events that came with its changes.
type table struct {
	set    map[auth.ProjectID]quota.Limits
	events []audit.Event
}

func (s *table) ProjectQuota(_ context.Context, p auth.ProjectID) (quota.Limits, error) {
	if l, ok := s.set[p]; ok {
		return l, nil
	}
	return nil, quota.ErrNotFound
}

func (s *table) ProjectQuotas(context.Context, int, int) ([]quota.Project, int, error) {
	var all []quota.Project
	for _, p := range slices.Sorted(maps.Keys(s.set)) {
		all = append(all, quota.Project{ID: p, Limits: s.set[p]})
	}
	return all, len(all), nil
}

func (s *table) ChangeProjectQuota(_ context.Context, p auth.ProjectID, l quota.Limits, _ time.Time, ev audit.Event) error {
	s.set[p] = l
	s.events = append(s.events, ev)
	return nil
}

func (s *table) DeleteProjectQuota(_ context.Context, p auth.ProjectID, ev audit.Event) error {
	if s.set[p] == nil {
		return quota.ErrNotFound
	}
	delete(s.set, p)
	s.events = append(s.events, ev)
	return nil
}

// judge allows what it lists.
type judge []policy.Action

func (j judge) Decide(_ auth.Principal, act policy.Action, _ policy.Target) policy.Decision {
	return policy.Decision{Allowed: slices.Contains(j, act), Rules: []string{"test"}}
}

type recorder struct{ events []audit.Event }

func (r *recorder) Record(_ context.Context, ev audit.Event) error {
	r.events = append(r.events, ev)
	return nil
}

func service(allow ...policy.Action) (*quota.Service, *table, *recorder) {
	store, records, n := &table{set: map[auth.ProjectID]quota.Limits{}}, &recorder{}, 0
	return quota.NewService(quota.Deps{
		Store: store, Judge: judge(allow), Recorder: records, Now: time.Now,
		NewEventID: func() string { n++; return strconv.Itoa(n) },
		Defaults:   quota.Limits{quota.Secrets: 10, quota.Orders: 20},
	}), store, records
}

var who = auth.Principal{User: "u", Project: "p", Family: policy.KeyManager}

func TestShowMergesWithTheDefaults(t *testing.T) {
	t.Parallel()
	s, store, _ := service(policy.QuotaShow)
	for _, tc := range []struct{ own, want quota.Limits }{
		{nil, quota.Limits{"secrets": 10, "orders": 20, "containers": -1, "consumers": -1, "cas": -1}},
		{quota.Limits{"secrets": 0, "cas": -5}, quota.Limits{"secrets": 0, "orders": 20, "containers": -1, "consumers": -1, "cas": -5}},
	} {
		if tc.own != nil {
			store.set["p"] = tc.own
		}
		if got, err := s.Show(t.Context(), who); err != nil || !maps.Equal(got, tc.want) {
			t.Errorf("own %v: %v, %v; want %v", tc.own, got, err, tc.want)
		}
	}
}

// Every operation asks before it does anything, and each refusal is recorded.
func TestRefusalIsRecorded(t *testing.T) {
	t.Parallel()
	for act, do := range map[policy.Action]func(*quota.Service, context.Context) error{
		policy.QuotaShow:        func(s *quota.Service, ctx context.Context) error { _, err := s.Show(ctx, who); return err },
		policy.ProjectQuotaShow: func(s *quota.Service, ctx context.Context) error { _, err := s.Project(ctx, who, "q"); return err },
		policy.ProjectQuotaChange: func(s *quota.Service, ctx context.Context) error {
			return s.Change(ctx, who, "q", quota.Limits{"secrets": 1})
		},
		policy.ProjectQuotaDelete: func(s *quota.Service, ctx context.Context) error { return s.Delete(ctx, who, "q") },
	} {
		s, store, records := service()
		store.set["q"], store.set["p"] = quota.Limits{"secrets": 7}, quota.Limits{}
		if err := do(s, t.Context()); !errors.Is(err, policy.ErrDenied) {
			t.Errorf("%s: %v", act, err)
		}
		if len(records.events) != 1 || records.events[0].Outcome != audit.Denied || records.events[0].Action != string(act) {
			t.Errorf("%s: recorded %+v", act, records.events)
		}
		if len(store.events) != 0 || store.set["q"]["secrets"] != 7 {
			t.Errorf("%s: changed %v", act, store.set)
		}
	}
	s, _, records := service()
	if _, _, err := s.List(t.Context(), who, 10, 0); !errors.Is(err, policy.ErrDenied) || len(records.events) != 1 {
		t.Errorf("list: %v, %v", err, records.events)
	}
	if err := s.MayChange(t.Context(), who, "q"); !errors.Is(err, policy.ErrDenied) || len(records.events) != 2 {
		t.Errorf("may change: %v, %v", err, records.events)
	}
}

func TestChangesAndMissesAreRecorded(t *testing.T) {
	t.Parallel()
	s, store, records := service(policy.ProjectQuotaShow, policy.ProjectQuotaChange, policy.ProjectQuotaDelete)
	if err := s.Change(t.Context(), who, "q", quota.Limits{"secrets": 1}); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), who, "q"); err != nil {
		t.Fatal(err)
	}
	for _, ev := range store.events {
		if ev.Outcome != audit.Success || ev.Project != "q" || ev.Target.ID != "q" || ev.Initiator.Project != "p" {
			t.Errorf("event %+v", ev)
		}
	}
	if len(store.events) != 2 || len(records.events) != 0 {
		t.Errorf("%d events of changes, %d others", len(store.events), len(records.events))
	}
	if err := s.Delete(t.Context(), who, "q"); !errors.Is(err, quota.ErrNotFound) {
		t.Error(err)
	}
	if _, err := s.Project(t.Context(), who, "q"); !errors.Is(err, quota.ErrNotFound) {
		t.Error(err)
	}
	if len(records.events) != 2 || records.events[0].Outcome != audit.Missing || records.events[1].Outcome != audit.Missing {
		t.Errorf("misses: %+v", records.events)
	}
}
