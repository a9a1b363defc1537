//! Which operations hold something of a server.

use sea_orm::sea_query::{Expr, ExprTrait, Query, SelectStatement};
use sea_orm::{ColumnTrait, Condition, EntityTrait};

use crate::db::entities::port::{self, PortState};
use crate::db::entities::reservation::{self, ReservationState};
use crate::db::entities::{instance, operation};

/// The operations that made a server, or hold a VMID or a public port; for a query of operations.
pub fn holders() -> Condition {
    let vmid = of(reservation::Entity, reservation::Column::OperationId)
        .and_where(reservation::Column::State.eq(ReservationState::Held))
        .take();
    let port = of(port::Entity, port::Column::OperationId).and_where(port::Column::State.eq(PortState::Held)).take();
    Condition::any()
        .add(Expr::exists(of(instance::Entity, instance::Column::OperationId)))
        .add(Expr::exists(vmid))
        .add(Expr::exists(port))
}

/// The rows of a table that name the operation.
fn of<E: EntityTrait>(table: E, operation: E::Column) -> SelectStatement {
    Query::select()
        .expr(Expr::value(1))
        .from(table)
        .and_where(Expr::col((table, operation)).equals((operation::Entity, operation::Column::Id)))
        .take()
}
