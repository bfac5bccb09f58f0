package shared

import (
	"testing"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/server"
)

// Only a violation for the subject is returned, and none from before.
func TestPermissionError(t *testing.T) {
	deny := &natsserver.Permissions{Publish: &natsserver.SubjectPermission{Deny: []string{"jobs.>", "other"}}}
	srv, err := server.New(natsserver.Options{DontListen: true, Users: []*natsserver.User{{Username: "app", Password: "app", Permissions: deny}}})
	require.NoError(t, err)
	defer srv.Stop()
	nc, err := nats.Connect("", nats.InProcessServer(srv), nats.UserInfo("app", "app"), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	require.NoError(t, err)
	defer nc.Close()

	before := nc.LastError()
	require.NoError(t, nc.Publish("allowed", nil))
	require.NoError(t, permissionError(nc, before, "allowed"))
	require.NoError(t, nc.Publish("other", nil))
	require.NoError(t, permissionError(nc, before, "jobs."), "it is for another subject")
	before = nc.LastError()
	require.NoError(t, permissionError(nc, before, "other"), "it was reported before")
	require.NoError(t, nc.Publish("jobs.1", nil))
	require.ErrorIs(t, permissionError(nc, before, "jobs."), nats.ErrPermissionViolation)
}
