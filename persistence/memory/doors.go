package memory

import (
	"slices"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/kek"
	"github.com/strongroom-kms/strongroom/kek/envelope"
)

// What follows brings about states that the domain cannot reach yet, and shows
// what it does not show.

// SetKEK puts a KEK into a state.
func (st *Store) SetKEK(project string, id envelope.KEKID, state kek.State, disabled bool) error {
	defer st.lock()()
	k := st.keks[place{project, string(id)}]
	k.State, k.disabled = state, disabled
	return nil
}

// SetMasterKey puts a master key into a state.
func (st *Store) SetMasterKey(project string, id envelope.MasterKey, state string) error {
	defer st.lock()()
	st.masterKeys[place{project, string(id)}].state = state
	return nil
}

// DestroyMasterKey removes a master key and leaves its mark.
func (st *Store) DestroyMasterKey(project string, id envelope.MasterKey) error {
	defer st.lock()()
	for _, k := range st.of(project, id) {
		delete(st.keks, place{project, string(k.ID)})
	}
	delete(st.masterKeys, place{project, string(id)})
	st.directory[id] = entry{project: project, destroyed: true}
	return nil
}

// SetPreferred makes a project prefer a token group; none where it is empty.
func (st *Store) SetPreferred(project, group string) error {
	defer st.lock()()
	st.preferred[project] = group
	return nil
}

// AddEvent makes a CSMS event that secrets may subscribe to.
func (st *Store) AddEvent(project, name string) error {
	defer st.lock()()
	st.events[place{project, name}] = true
	return nil
}

// Rows counts what there is of a project's secrets, by table.
func (st *Store) Rows(project string) (map[string]int, error) {
	defer st.lock()()
	n := map[string]int{}
	for p, r := range st.secrets {
		if p.project == project {
			n["secrets"]++
			n["secret_versions"] += len(r.versions)
			n["secret_stages"] += len(r.stages)
			n["secret_metadata"] += len(r.metadata)
			n["secret_consumers"] += len(r.consumers)
			n["secret_tags"] += len(r.tags)
		}
	}
	for _, p := range st.projects {
		if p == auth.ProjectID(project) {
			n["secret_directory"]++
		}
	}
	for _, ev := range st.log {
		if ev.Project == project {
			n["audit_events"]++
		}
	}
	return n, nil
}

// Events returns the audit events of all changes, in order.
func (st *Store) Events() []audit.Event {
	defer st.lock()()
	return slices.Clone(st.log)
}
