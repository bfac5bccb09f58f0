package retry

import "time"

// DepositAt is Deposit at a time.
func (b *Budget) DepositAt(now time.Time) { b.change(now, b.Ratio) }

// WithdrawAt is Withdraw at a time.
func (b *Budget) WithdrawAt(now time.Time) bool { return b.change(now, -1) }
