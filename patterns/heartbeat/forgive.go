package heartbeat

import "time"

// back reports whether the Monitor was cut off since it last asked, and forgives the
// silence of that time.
func (m *Monitor) back() bool {
	n := m.nc.Stats().Reconnects
	if n == m.reconnects {
		return false
	}
	m.reconnects = n
	m.pardon("the monitor was cut off")
	return true
}

// pardon gives everyone a ttl more.
func (m *Monitor) pardon(why string) {
	m.cfg.Log.Warn("silence forgiven", "why", why)
	m.locked(func() bool { m.all.pardon(time.Now()); return true })
}
