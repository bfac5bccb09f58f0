package controlplane

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

// entry is a desired state as the watch delivers it.
type entry struct {
	jetstream.KeyValueEntry
	key      string
	value    string
	revision uint64
}

func (e entry) Key() string                     { return e.key }
func (e entry) Value() []byte                   { return []byte(e.value) }
func (e entry) Revision() uint64                { return e.revision }
func (e entry) Operation() jetstream.KeyValueOp { return jetstream.KeyValuePut }

// An agent that starts applies nothing before it has received all keys: the state of the
// service arrives before that of the instance.
func TestReceiveAtStart(t *testing.T) {
	a := &Agent{ownKey: "desired.web.web-1"}
	_, changed := a.receive(entry{key: "desired.web", value: `{"state":"running"}`, revision: 1})
	require.False(t, changed)
	_, changed = a.receive(entry{key: "desired.web.web-1", value: `{"state":"paused"}`, revision: 2})
	require.False(t, changed)
	d, changed := a.receive(nil)
	require.True(t, changed)
	require.Equal(t, Desired{State: Paused, Generation: 2}, d)
	_, changed = a.receive(entry{key: "desired.web", value: `{"state":"stopped"}`, revision: 3})
	require.False(t, changed, "the instance has its own")
}
