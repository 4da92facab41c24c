//! The seam between the writer and the anchor that spares readers their file locks.

/// Holds a snapshot for the readers' sake, and has to let go of it for the writer's.
pub(crate) trait SnapshotHolder: Send + Sync {
    /// The writer has committed; called before it answers its callers. It must not block.
    fn advance(&self);

    /// The writer is about to checkpoint: hold nothing until the next [`advance`](Self::advance),
    /// which the writer calls when the checkpoint is over.
    fn release(&self);
}
